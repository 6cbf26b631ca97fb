# SPDX-License-Identifier: Apache-2.0
"""The fair share of a link over time: its capacity divided by the number of flows that use it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.analysis.path import flow_path
from lab.evaluation.trial import Curve
from lab.job.protocol import Flow, Job
from lab.report.figures.over_time.panels import trial_of
from lab.report.model import Row

LEAST_SHARE = 0.03
"""Parts of the time between two changes that are shorter than this share of it are left out."""


def fair_share(rows: Sequence[Row]) -> Curve | None:
    """Return the fair share of a flow over time, in bit/s of payload; each value holds until the next.

    The result is None unless several flows, all of them TCP flows without a limit of their own, have the same
    bottleneck for the whole trial, and its rate is not that of a capacity file.
    """
    jobs = {id(trial_of(row)): trial_of(row).job for row in rows}
    traced = [curves for row in rows for curves in row.median().curves()]
    capacity = next((curves.capacity for curves in traced if curves.capacity is not None), None)
    if len(jobs) != 1 or capacity is None or any(curves.follows_file for curves in traced):
        return None
    (job,) = jobs.values()
    flows = job["flows"]
    if len(flows) < 2 or not all(map(_is_greedy, flows)) or not _share_one_bottleneck(job):
        return None
    return share_over_time([(flow["start_ns"], flow["start_ns"] + flow["duration_ns"]) for flow in flows], capacity)


def share_over_time(flows_ns: Sequence[tuple[int, int]], capacity: Curve) -> Curve | None:
    """Return *capacity* divided by the number of flows that run, from the first start to the last end of *flows_ns*.

    Each value holds until the next.  The result is None if the flows have no time in common with the capacity.
    """
    starts, ends = (np.array(times) / 1e9 for times in zip(*flows_ns, strict=True))
    # The capacity has a value for each bin, most of them the same.
    is_new = np.append(True, np.abs(np.diff(capacity[1])) > 1e-9 * capacity[1].max())
    since, rate = capacity[0][is_new], capacity[1][is_new]
    times = np.unique(np.concatenate([starts, ends, since[(since > starts.min()) & (since < ends.max())]]))
    # Flows that are meant to start or end together differ by their jitter: the last change of several counts.
    times = times[np.append(np.diff(times) >= LEAST_SHARE * (times[-1] - times[0]), True)]
    if len(times) < 2:
        return None
    number = (starts[None, :] <= times[:, None]).sum(axis=1) - (ends[None, :] <= times[:, None]).sum(axis=1)
    held = rate[np.clip(np.searchsorted(since, times, side="right") - 1, 0, len(rate) - 1)]
    share = np.where(number > 0, held / np.maximum(number, 1), np.nan)
    share[-1] = share[-2]
    kept = np.append(True, share[1:] != share[:-1])
    kept[-1] = True
    return times[kept], share[kept]


def _is_greedy(flow: Flow) -> bool:
    limits = (flow["rate_bps"], flow["pacing_bps"], flow["limit_bytes"], flow["arrivals"])
    return flow["protocol"] == "tcp" and all(limit is None for limit in limits)


def _share_one_bottleneck(job: Job) -> bool:
    places = set()
    for flow in job["flows"]:
        found = flow_path(job, flow).bottlenecks(flow["start_ns"], flow["start_ns"] + flow["duration_ns"])
        places.add(tuple((hop.link, hop.direction_name) for hop, _held in found))
    return len(places) == 1 and len(next(iter(places))) == 1
