# SPDX-License-Identifier: Apache-2.0
"""The curves of the flows of a trial in as much detail as a chart needs, and the queues that they pass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from lab.analysis.ack_samples import INFINITE_SSTHRESH, AckSamples, ssthresh
from lab.evaluation.collected import bottleneck_places
from lab.evaluation.on_the_way import queues_of
from lab.evaluation.trial import Curve, measure
from lab.report.charts.line import Line, points
from lab.store.trial import TrialResult


@lru_cache(maxsize=8)
def samples_of(trial: TrialResult) -> Mapping[str, AckSamples]:
    """Return all rows of tcp_probe of each flow's sender, by the name of the flow; none for flows without any."""
    flows = measure(trial).flows
    return {flow.name: flow.sending for flow in flows if flow.sending is not None and len(flow.sending)}


def sampled(samples: AckSamples, chart: str) -> Curve:
    """Return the curve of ``cwnd``, ``ssthresh`` (both in segments) or ``srtt`` (in milliseconds) over seconds."""
    seconds = samples.time_ns / 1e9
    if chart == "cwnd":
        return seconds, samples.snd_cwnd.astype(np.float64)
    if chart == "srtt":
        known = samples.srtt_us > 0
        return seconds[known], samples.srtt_us[known] / 1000
    values = ssthresh(samples)
    finite = values < INFINITE_SSTHRESH
    return seconds[finite], values[finite].astype(np.float64)


def queue_lines(trial: TrialResult, flows: tuple[str, ...], series: int | None, bins: int) -> list[Line]:
    """Return how many packets are in the queues in front of the links that are a bottleneck of one of *flows*.

    A value is the mean of a bin in which packets were in the queue.  Between such bins, the queue is empty.
    """
    asked = [flow for flow in trial.job["flows"] if flow["name"] in flows]
    places = list(dict.fromkeys(place for flow in asked for place in bottleneck_places(trial, flow)))
    queues = queues_of(trial)
    lines = []
    for node, interface in places:
        if (node, interface) in queues:
            queue = queues[node, interface]
            begins, ends = queue.start_ns, queue.start_ns + queue.length_ns
            means = queue.packet_ns / np.maximum(queue.length_ns, 1)
            # After a bin, the queue is empty until the next one begins.
            times = np.stack([begins, ends], axis=1).reshape(-1)
            values = np.stack([means, np.zeros(len(means))], axis=1).reshape(-1)
            is_used = np.append(np.diff(times) > 0, True)
            name = f"{node} {interface}" if len(places) > 1 else ""
            ticks, shown = points((times[is_used] / 1e9, values[is_used]), bins, 1)
            lines.append(Line("queue", series, name, "after", ticks, shown))
    return lines
