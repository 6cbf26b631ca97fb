# SPDX-License-Identifier: Apache-2.0
"""Completion times of short flows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.analysis.ack_samples import Floats, Integers
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.path import mss_bytes
from lab.job.protocol import ETHERNET_HEADER_BYTES, Job


@dataclass(frozen=True)
class ShortFlows:
    """Completion times of a group of short flows."""

    fct_median_us: float | None
    """Median completion time of short flows, in microseconds; flows that did not complete are left out.

    The flows are those that started within the measured window.
    """
    fct_p95_us: float | None
    """p95 of the completion times of short flows, in microseconds; flows that did not complete are left out."""
    fct_mean_us: float | None
    """Mean completion time of short flows, in microseconds; flows that did not complete are left out."""
    slowdown_mean: float | None
    """Mean slowdown of short flows: the completion time divided by the shortest that the path allows.

    The shortest time is that of the handshake (the base RTT), of the data's way to the receiver (half of the base RTT),
    and of sending their frames at the bottleneck's rate.  A transport that obeys a window takes longer even alone.
    None without a rate limit, and if the rate or the base RTT changes within the measured window.
    """
    slowdown_median: float | None
    """Median of the slowdown of short flows."""
    slowdown_p95: float | None
    """p95 of the slowdown of short flows."""
    unfinished_share: float | None
    """Share of the short flows that did not complete."""


def short_flows(trial: MeasuredTrial, flow: MeasuredFlow) -> ShortFlows:
    """Return the completion times of the short flows that started within the measured window."""
    found = flow.measured_completions
    slowdowns = slowdowns_of(trial, flow)
    done = found.fct_ns[found.is_complete] if found is not None else None
    return ShortFlows(
        fct_median_us=_completion_us(flow, 0.5),
        fct_p95_us=_completion_us(flow, 0.95),
        fct_mean_us=float(done.mean()) / 1000 if done is not None and len(done) else None,
        slowdown_mean=float(slowdowns.mean()) if slowdowns is not None else None,
        slowdown_median=_quantile(slowdowns, 0.5),
        slowdown_p95=_quantile(slowdowns, 0.95),
        unfinished_share=1 - float(found.is_complete.mean()) if found is not None and len(found) else None,
    )


def slowdowns_of(trial: MeasuredTrial, flow: MeasuredFlow) -> Floats | None:
    """Return the slowdown of each short flow that completed; None if there is none, or no shortest time is known."""
    found, window = flow.measured_completions, flow.window
    if found is None or not found.is_complete.any():
        return None
    rate, base = flow.path.rate_bps, flow.base_rtt_over_time
    if rate is None or base is None:
        return None
    rates = {value for _since, _until, value in rate.spans(window["start_ns"], window["end_ns"])}
    bases = {value for _since, _until, value in base.spans(window["start_ns"], window["end_ns"])}
    if len(rates) != 1 or len(bases) != 1 or not (rate_bps := rates.pop()):
        return None
    done = found.is_complete
    shortest = shortest_times_ns(trial.job, found.bytes[done], rate_bps, bases.pop())
    return np.asarray(found.fct_ns[done] / shortest, dtype=np.float64)


def shortest_times_ns(job: Job, sizes: Integers, rate_bps: float, base_rtt_us: float) -> Floats:
    """Return the shortest time in which a path can complete flows of these *sizes* (bytes), in nanoseconds.

    It is 1.5 base RTTs, for SYN, SYN-ACK and data, and the time that the bottleneck needs to send all frames.
    """
    header_bytes = job["mtu"] + ETHERNET_HEADER_BYTES - mss_bytes(job)
    frames = sizes + -(-sizes // mss_bytes(job)) * header_bytes
    return np.asarray(1500 * base_rtt_us + frames * 8e9 / rate_bps, dtype=np.float64)


def _quantile(values: Floats | None, share: float) -> float | None:
    return None if values is None else float(np.quantile(values, share, method="inverted_cdf"))


def _completion_us(flow: MeasuredFlow, share: float) -> float | None:
    return flow.measured_completions.quantile_us(share) if flow.measured_completions is not None else None
