# SPDX-License-Identifier: Apache-2.0
"""How a sender behaves over time: slow start, the states of its loss recovery, and how fast it uses a new rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lab.analysis.ack_samples import (
    CA_STATES,
    INFINITE_SSTHRESH,
    AckSamples,
    StateSamples,
    ssthresh,
)
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.metrics.losses import uses_ssthresh
from lab.analysis.over_windows import WINDOW_NS, rates_in, window_starts
from lab.analysis.path import goodput_ceiling
from lab.job.protocol import ETHERNET_HEADER_BYTES


@dataclass(frozen=True)
class Dynamics:
    """How a sender behaves over time."""

    slow_start_s: float | None
    """Time from the flow's start until the end of its first slow start, in seconds.

    It ends when the congestion window reaches ssthresh, which a loss, a mark or HyStart sets (RFC 9438, section 4.10;
    RFC 9406); for BBR, when it leaves the mode Startup.  None if it does not end within the measured window, and if
    the flow's start is not measured.
    """
    slow_start_peak_segments: int | None
    """Largest congestion window until the end of the first slow start, in segments; None as ``slow_start_s``."""
    slow_start_overshoot: float | None
    """``slow_start_peak_segments`` divided by what the path holds: its BDP and the bottleneck's queue.

    Above 1, slow start has filled the queue.  None without a rate limit, or if the queue has no known limit.
    """
    state_open_share: float | None
    """Share of time in the state Open: no duplicate ACKs, no losses.

    The states are those of the kernel's loss recovery (``enum tcp_ca_state``), each counted for as long as it was in
    force.  All five shares add up to 1.  None if the trace does not have every ACK.
    """
    state_disorder_share: float | None
    """Share of time in the state Disorder: duplicate ACKs or SACKs have arrived, but nothing is taken for lost."""
    state_cwr_share: float | None
    """Share of time in the state CWR: the window is reduced because of an ECN mark or a full local queue."""
    state_recovery_share: float | None
    """Share of time in the state Recovery: lost segments are sent again (fast retransmit)."""
    state_loss_share: float | None
    """Share of time in the state Loss: after a retransmission timeout."""
    recoveries: int | None
    """How often the sender went through Recovery or Loss in the measured window, from its begin to its end."""
    recovery_mean_s: float | None
    """Mean time that these took, in seconds; None if there was none."""
    rate_rise_recovery_s: float | None
    """Time from a rise of the bottleneck's rate until all flows together use 90 % of it, in seconds.

    It is the start of the first window of 1 s, in steps of 100 ms, in which the payload of all flows with the same
    bottleneck arrives at 90 % of what the new rate allows (RFC 5166, section 2.2.1).  It is the mean over all rises
    within the measured window that last for longer than 1 s.  None if there is none, or if the flows did not get there
    before the next change.
    """


RECOVERED = 0.9
"""Share of the new rate at which the flows have adapted to it."""
STEP_NS = 100_000_000
"""How far apart the windows begin in which the flows may have adapted."""


def dynamics(trial: MeasuredTrial, flow: MeasuredFlow) -> Dynamics:
    """Return how the flow's sender behaved within its measured window."""
    slow_start = _slow_start(flow)
    states = flow.states if flow.is_measured else None
    shares = _state_shares(states, flow.window["start_ns"], flow.window["end_ns"]) if states is not None else None
    took = _recoveries_s(states, flow.window["start_ns"], flow.window["end_ns"]) if states is not None else None
    pipe = _pipe_segments(trial, flow)
    return Dynamics(
        slow_start_s=slow_start[0] if slow_start else None,
        slow_start_peak_segments=slow_start[1] if slow_start else None,
        slow_start_overshoot=slow_start[1] / pipe if slow_start and pipe else None,
        **{f"state_{name.lower()}_share": shares[name] if shares else None for name in CA_STATES},
        recoveries=len(took) if took is not None else None,
        recovery_mean_s=math.fsum(took) / len(took) if took else None,
        rate_rise_recovery_s=_rise(trial, flow) if flow.is_bulk and flow.is_measured else None,
    )


def _slow_start(flow: MeasuredFlow) -> tuple[float, int] | None:
    """Return when the first slow start ends, in seconds since the flow's start, and the largest window until then."""
    samples = flow.sending
    if samples is None or not len(samples) or not flow.is_measured or flow.window["start_ns"] > flow.start_ns:
        return None
    ended = _end_of_slow_start(flow, samples)
    if ended is None or ended == 0:
        return None
    # The values of a row have been in force since the row before.
    end_ns = int(samples.time_ns[ended - 1])
    if end_ns >= flow.window["end_ns"]:
        return None
    return (end_ns - flow.start_ns) / 1e9, int(samples.snd_cwnd[:ended].max())


def _end_of_slow_start(flow: MeasuredFlow, samples: AckSamples) -> int | None:
    """Return the first row whose values are no longer those of slow start."""
    if uses_ssthresh(flow.result["congestion_control"]):
        threshold = ssthresh(samples)
        return _first((threshold < INFINITE_SSTHRESH) & (samples.snd_cwnd >= threshold))
    if flow.states is None or not flow.states.in_startup.any():
        return None
    began = int(np.flatnonzero(flow.states.in_startup)[0])
    left = _first(~flow.states.in_startup[began:])
    if left is None:
        return None
    return int(np.searchsorted(samples.time_ns, flow.states.time_ns[began + left], side="left"))


def _first(holds: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    places = np.flatnonzero(holds)
    return int(places[0]) if len(places) else None


def _pipe_segments(trial: MeasuredTrial, flow: MeasuredFlow) -> float | None:
    """Return how many full segments the path holds when the flow starts: its BDP and the bottleneck's queue."""
    base, rate = flow.base_rtt_over_time, flow.path.rate_bps
    queue_bytes = flow.path.queue_bytes(trial.job["mtu"], flow.start_ns)
    if base is None or rate is None or queue_bytes is None:
        return None
    bdp_bytes = rate.at(flow.start_ns) * base.at(flow.start_ns) / 8e6
    return (bdp_bytes + queue_bytes) / (trial.job["mtu"] + ETHERNET_HEADER_BYTES)


def _state_shares(states: StateSamples, start_ns: int, end_ns: int) -> dict[str, float] | None:
    """Return for each state the share of the time in which it was in force, of the time that the rows cover."""
    if len(states) < 2:
        return None
    edges = np.clip(states.time_ns, start_ns, end_ns)
    held = np.bincount(states.state[1:], weights=np.diff(edges), minlength=len(CA_STATES))
    total = float(held.sum())
    return {name: float(held[place]) / total for place, name in enumerate(CA_STATES)} if total else None


def _recoveries_s(states: StateSamples, start_ns: int, end_ns: int) -> list[float]:
    """Return how long each stay in Recovery or Loss took that began between two times and ended, in seconds."""
    in_trouble = np.isin(states.state, [CA_STATES.index("Recovery"), CA_STATES.index("Loss")]).astype(np.int8)
    changes = np.diff(in_trouble)
    # Row i + 1 is the first with another state than row i, which began at row i.
    begins, ends = states.time_ns[np.flatnonzero(changes == 1)], states.time_ns[np.flatnonzero(changes == -1)]
    return [
        float(ends[ends > begin][0] - begin) / 1e9
        for begin in begins
        if start_ns <= begin < end_ns and (ends > begin).any()
    ]


def _rise(trial: MeasuredTrial, flow: MeasuredFlow) -> float | None:
    """Return the mean time from rises of the bottleneck's rate until the flows use it, in seconds."""
    rate = flow.path.rate_bps
    if rate is None or any(hop.direction["capacity"] is not None for hop in flow.path.forward):
        return None
    together = [other for other in trial.sharing(flow, trial.flows) if other.name in trial.arrivals]
    spans = list(rate.without_repeats().spans(flow.window["start_ns"], flow.window["end_ns"]))
    took = []
    for (_since, _until, before), (start_ns, end_ns, after) in pairwise(spans):
        if after <= before or end_ns - start_ns <= WINDOW_NS:
            continue
        starts = window_starts(start_ns, end_ns, step_ns=STEP_NS)
        total = _sum(rates_in(trial.arrivals[other.name], starts) for other in together)
        place = _first(total >= RECOVERED * after * goodput_ceiling(trial.job))
        if place is None:
            return None
        took.append(place * STEP_NS / 1e9)
    return math.fsum(took) / len(took) if took else None


def _sum(parts: Iterable[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.sum(list(parts), axis=0)  # type: ignore[no-any-return]
