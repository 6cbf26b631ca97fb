# SPDX-License-Identifier: Apache-2.0
"""Quantities over time in a trial, as values that were in force from one time to another, and statistics of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.ack_samples import (
    CA_STATES,
    INFINITE_SSTHRESH,
    AckSamples,
    before_timeouts,
    ssthresh,
    weighted_mean,
    weighted_quantile,
)
from lab.analysis.events import Span, spans
from lab.analysis.over_windows import rates_in, window_starts
from lab.analysis.path import flow_path
from lab.evaluation.collected import queue_place
from lab.evaluation.on_the_way import queues_of
from lab.evaluation.trial import TCP_PROBE, arrivals_of
from lab.expect.names import quantile_of
from lab.job.protocol import Flow
from lab.store.trial import TrialResult

_STEP_NS = 100_000_000
"""The distance of the windows in which goodput over time is computed."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """Values, each of which was in force from one time to another; times are in seconds since the start of traffic.

    The periods are in order and do not overlap.  ``value[i]`` was in force from ``start[i]`` to ``end[i]``.
    """

    start: Floats
    end: Floats
    value: Floats

    def at(self, moment: float) -> float | None:
        """Return the value in force at a moment; None if there is none."""
        place = int(np.searchsorted(self.end, moment, side="left"))
        return float(self.value[place]) if place < len(self.end) and self.start[place] <= moment else None

    def within(self, start: float, end: float) -> Held:
        """Return the part of the values that was in force between two times."""
        keep = (self.end > start) & (self.start < end)
        return Held(np.maximum(self.start[keep], start), np.minimum(self.end[keep], end), self.value[keep])

    def during(self, others: Collection[Span]) -> Held:
        """Return the values that were in force at the middle of their time within one of *others*."""
        middle = (self.start + self.end) / 2
        keep = np.zeros(len(middle), dtype=np.bool_)
        for span in others:
            keep |= (middle >= span.start) & (middle <= span.end)
        return Held(self.start[keep], self.end[keep], self.value[keep])

    def known(self) -> Held:
        """Return the values that are numbers."""
        keep = np.isfinite(self.value)
        return Held(self.start[keep], self.end[keep], self.value[keep])

    def statistic(self, name: str) -> float | None:
        """Return a statistic of the values, each weighted by how long it was in force; None if there are none."""
        if not len(self.value):
            return None
        match name:
            case "mean":
                return weighted_mean(self.value, self.end - self.start)
            case "min":
                return float(self.value.min())
            case "max":
                return float(self.value.max())
            case "first":
                return float(self.value[0])
            case "last":
                return float(self.value[-1])
        share = quantile_of(name)
        assert share is not None
        return weighted_quantile(self.value, self.end - self.start, share)


def held(trial: TrialResult, asked: Flow, quantity: str) -> Held:
    """Return a quantity over time (one of :data:`lab.expect.names.SERIES`) of the flow *asked*, in bits and seconds.

    Raises:
        StoreError: A table of the trial is missing or damaged.
    """
    if quantity == "goodput":
        return _goodput(trial, asked)
    if quantity == "queue":
        return _queue(trial, asked)
    if quantity == "queueing_delay":
        return _queueing_delay(trial, asked)
    rows = trace(trial, asked["name"])
    if not len(rows["time"]):
        return Held(rows["time"], rows["time"], rows["time"])
    values = _OF_TRACE[quantity](rows)
    # A row has what was in force since the row before.
    return Held(rows["time"][:-1], rows["time"][1:], values[1:]).known()


def states(trial: TrialResult, flow: str, kind: str) -> list[Span]:
    """Return the spans of a flow's states: ``mode`` (of BBR) or ``state`` (of the loss recovery)."""
    rows = trace(trial, flow)
    seconds, codes = rows["time"], rows[kind]
    if len(seconds) < 2:
        return []
    names = _MODES if kind == "mode" else CA_STATES
    # A row has what was in force since the row before, so that what comes after the row before is what it says.
    found = spans(seconds[:-1], [*names, ""], np.where(codes[1:] < 0, len(names), codes[1:]))
    last = found[-1]
    return [span for span in (*found[:-1], Span(last.start, float(seconds[-1]), last.name)) if span.name]


_MODES = ("Startup", "Drain", "ProbeBW", "ProbeRTT")

_COLUMNS = (
    "time_ns", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "srtt_us", "packets_out", "sacked_out", "lost_out",
    "retrans_out", "pacing_rate", "delivery_rate", "ca_bandwidth", "ca_gain", "ca_window_max", "ca_alpha",
)  # fmt: skip


@lru_cache(maxsize=32)
def trace(trial: TrialResult, flow: str) -> Mapping[str, NDArray[Any]]:
    """Return the tcp_probe rows of a flow's sender: a column for each name.

    ``time`` is in seconds.  ``mode`` and ``state`` are places in the names of BBR's modes and of the states of the loss
    recovery, -1 where there is none.  The rows of timeouts, which have the values after the timeout, have those of the
    row before instead; ``is_timeout`` tells them.
    """
    table = trial.collected(TCP_PROBE, [*_COLUMNS, "ca_state", "ca_mode", "flow", "end", "is_transmit"])
    is_used = pc.is_in(table.column("is_transmit"), pa.array(["receive", "timeout"]))
    own = pc.and_(pc.equal(table.column("flow"), flow), pc.equal(table.column("end"), "source"))
    table = table.filter(pc.and_(own, is_used))
    is_timeout = pc.equal(table.column("is_transmit"), "timeout").to_numpy()
    found: dict[str, NDArray[Any]] = {
        name: before_timeouts(table.column(name).to_numpy().astype(np.float64), is_timeout)
        for name in _COLUMNS
        if name != "time_ns"
    }
    found["time_ns"] = table.column("time_ns").to_numpy().astype(np.int64)
    found["time"] = found["time_ns"] / 1e9
    found["is_timeout"] = is_timeout
    for name, column, names in (("state", "ca_state", CA_STATES), ("mode", "ca_mode", _MODES)):
        codes = pc.index_in(table.column(column), pa.array(names)).fill_null(-1).to_numpy().astype(np.int64)
        found[name] = before_timeouts(codes, is_timeout)
    return found


def ack_samples(trial: TrialResult, flow: str) -> AckSamples:
    """Return the rows of a flow's sender for :mod:`lab.analysis.ack_samples`."""
    return _ack_samples(trace(trial, flow))


def _ack_samples(rows: Mapping[str, NDArray[Any]]) -> AckSamples:
    names = ("time_ns", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "srtt_us")
    in_recovery = np.isin(rows["state"], [CA_STATES.index("CWR"), CA_STATES.index("Recovery")])
    return AckSamples.from_columns({**{name: rows[name] for name in names}, "in_recovery": in_recovery})


def _where(condition: NDArray[np.bool_], values: NDArray[Any]) -> Floats:
    found: Floats = np.where(condition, values, np.nan)
    return found


def _finite_ssthresh(rows: Mapping[str, NDArray[Any]]) -> Floats:
    values = ssthresh(_ack_samples(rows))
    return _where(values < INFINITE_SSTHRESH, values)


_OF_TRACE: Mapping[str, Callable[[Mapping[str, NDArray[Any]]], Floats]] = {
    "cwnd": lambda rows: rows["snd_cwnd"],
    "ssthresh": _finite_ssthresh,
    "srtt": lambda rows: _where(rows["srtt_us"] > 0, rows["srtt_us"] / 1e6),
    "in_flight": lambda rows: rows["packets_out"] - rows["sacked_out"] - rows["lost_out"] + rows["retrans_out"],
    "pacing_rate": lambda rows: rows["pacing_rate"] * 8,
    "delivery_rate": lambda rows: rows["delivery_rate"] * 8,
    "bandwidth": lambda rows: _where(rows["ca_bandwidth"] > 0, rows["ca_bandwidth"] * 8),
    "gain": lambda rows: _where(rows["ca_gain"] > 0, rows["ca_gain"] / 256),
    "window_max": lambda rows: _where(rows["ca_window_max"] > 0, rows["ca_window_max"]),
    "alpha": lambda rows: rows["ca_alpha"] / 1024,
}
"""Quantity → what computes it from the rows of the trace, in bits and seconds; NaN where there is none."""


def _goodput(trial: TrialResult, asked: Flow) -> Held:
    bins = arrivals_of(trial)[asked["name"]]
    starts = window_starts(asked["start_ns"], asked["start_ns"] + asked["duration_ns"], step_ns=_STEP_NS)
    middle = (starts + 500_000_000) / 1e9
    half = _STEP_NS / 2e9
    return Held(middle - half, middle + half, rates_in(bins, starts))


def _queue(trial: TrialResult, asked: Flow) -> Held:
    hop = flow_path(trial.job, asked).main_bottleneck(asked["start_ns"], asked["start_ns"] + asked["duration_ns"])
    place = None if hop is None else queue_place(trial, hop)
    if place is None or place not in queues_of(trial):
        return Held(np.zeros(0), np.zeros(0), np.zeros(0))
    queue = queues_of(trial)[place]
    start, end = queue.start_ns / 1e9, (queue.start_ns + queue.length_ns) / 1e9
    return _with_gaps(start, end, queue.packet_ns / np.maximum(queue.length_ns, 1), asked)


def most_queued(trial: TrialResult, asked: Flow, start: float, end: float) -> float | None:
    """Return the largest number of packets in the queue of a flow's bottleneck between two times, in seconds."""
    hop = flow_path(trial.job, asked).main_bottleneck(asked["start_ns"], asked["start_ns"] + asked["duration_ns"])
    place = None if hop is None else queue_place(trial, hop)
    if place is None or place not in queues_of(trial):
        return None
    found = queues_of(trial)[place].occupancy(start * 1e9, end * 1e9)
    return None if found is None else found.most


def _queueing_delay(trial: TrialResult, asked: Flow) -> Held:
    places = [queue_place(trial, hop) for hop in flow_path(trial.job, asked).forward]
    queues = [queues_of(trial)[place] for place in places if place is not None and place in queues_of(trial)]
    if not queues:
        return Held(np.zeros(0), np.zeros(0), np.zeros(0))
    width_ns = trial.job["bin_ns"]
    starts = np.arange(asked["start_ns"], asked["start_ns"] + asked["duration_ns"], width_ns, dtype=np.float64)
    waits = np.sum([queue.wait_ns(starts + width_ns / 2) for queue in queues if len(queue.start_ns)], axis=0)
    return Held(starts / 1e9, (starts + width_ns) / 1e9, np.asarray(waits) / 1e9).known()


def _with_gaps(start: Floats, end: Floats, value: Floats, asked: Flow) -> Held:
    """Return values with 0 in the gaps between them, from the start of the flow to its end."""
    begin, until = asked["start_ns"] / 1e9, (asked["start_ns"] + asked["duration_ns"]) / 1e9
    edges = np.unique(np.concatenate([start, end, [begin, until]]))
    place = np.searchsorted(start, edges[:-1], side="right") - 1
    inside = (place >= 0) & (edges[:-1] < end[place]) if len(start) else np.zeros(len(edges) - 1, np.bool_)
    return Held(edges[:-1], edges[1:], np.where(inside, value[place], 0.0) if len(start) else np.zeros(len(edges) - 1))
