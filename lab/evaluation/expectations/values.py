# SPDX-License-Identifier: Apache-2.0
"""The value that a term of an expectation has in a trial, in bits and seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.ack_samples import reductions, ssthresh
from lab.analysis.path import FlowPath, flow_path, mss_bytes
from lab.evaluation.expectations.over_time import ack_samples, held, most_queued, states, trace
from lab.evaluation.on_the_way import LOSSES
from lab.evaluation.trial import ACCOUNTS, EvaluatedTrial, completions_of
from lab.expect.meaning import Term
from lab.expect.names import Column, Declared, Event, Samples, Series, quantile_of
from lab.job.network import mean_loss
from lab.job.over_time import netem_over_time
from lab.job.protocol import ETHERNET_HEADER_BYTES, Flow, Probe
from lab.store.trial import TrialResult

__all__ = ["Unknown", "asked_flows", "value_of", "window_of"]


@dataclass(frozen=True)
class Unknown:
    """There is no value."""

    reason: str


def value_of(term: Term, result: EvaluatedTrial, who: str) -> float | Unknown:
    """Return the value of *term* in a trial for *who*: a declared flow, a single flow or a probe.

    The value of a declared flow that stands for several ones (``count``) is the mean over them, as in the report.

    Raises:
        StoreError: A table of the trial is missing or damaged.
    """
    trial = result.trial
    if isinstance(term.source, Column):
        found = _of_column(term.source, result, who)
    elif isinstance(term.source, Declared):
        found = _DECLARED[term.source.name](trial, asked_flows(trial, who)[0])
        return Unknown(f"there is no {term.source.name} for {who}") if found is None else found
    else:
        values = [_of_flow(term, trial, asked) for asked in asked_flows(trial, who)]
        known = [value for value in values if value is not None]
        found = math.fsum(known) / len(known) if known else None
    if found is None:
        return Unknown(f"{term.measure.name} was not measured for {who} in the trial {trial.id}")
    return found


def asked_flows(trial: TrialResult, who: str) -> list[Flow]:
    """Return the flows of the job, or the probe, that *who* names."""
    flows = [flow for flow in trial.job["flows"] if who in (flow["group"], flow["name"])]
    # What is read of a flow here (name, ends and times), a probe has as well.
    return flows or [cast(Flow, probe) for probe in trial.job["probes"] if probe["name"] == who]


def window_of(term: Term, asked: Flow | Probe) -> tuple[float, float]:
    """Return the time that a term covers, in seconds: the period that it names, or the flow's measured window."""
    time = term.measure.time
    if time is not None and time.end is not None:
        return time.start.value, time.end.value
    return asked["measured"]["start_ns"] / 1e9, asked["measured"]["end_ns"] / 1e9


def _of_column(column: Column, result: EvaluatedTrial, who: str) -> float | None:
    rows: list[Any] = [row for row in result.metrics if who in (row.group, row.flow)]
    rows += [probe for probe in result.probes if probe.name == who]
    values = [getattr(row, column.name, None) for row in rows]
    known = [float(value) for value in values if value is not None]
    return math.fsum(known) / len(known) * column.scale if known else None


def _of_flow(term: Term, trial: TrialResult, asked: Flow) -> float | None:
    if isinstance(term.source, Series):
        return _of_series(term, trial, asked)
    start, end = window_of(term, asked)
    if isinstance(term.source, Event):
        times, numbers = _EVENTS[term.source.name](trial, asked)
        keep = (times >= start) & (times < end)
        times, numbers = times[keep], numbers[keep]
        if term.statistic == "count":
            return float(numbers.sum())
        return None if not len(times) else float(times[0 if term.statistic == "first" else -1])
    assert isinstance(term.source, Samples)
    assert term.statistic is not None
    at, values = _SAMPLES[term.source.name](trial, asked)
    return _statistic(term.statistic, values[(at >= start) & (at < end)])


def _of_series(term: Term, trial: TrialResult, asked: Flow) -> float | None:
    name, time, statistic = term.source.name, term.measure.time, term.statistic or "mean"
    found = held(trial, asked, name)
    if time is not None and time.end is None:
        return found.at(time.start.value)
    start, end = window_of(term, asked)
    if name == "queue" and statistic == "max" and not term.selection.during:
        return most_queued(trial, asked, start, end)
    part = found.within(start, end)
    for kind, names in term.selection.during.items():
        part = part.during([span for span in states(trial, asked["name"], kind) if span.name in names])
    return part.statistic(statistic)


def _statistic(name: str, values: NDArray[np.float64]) -> float | None:
    if not len(values):
        return None
    match name:
        case "mean":
            return float(values.mean())
        case "min":
            return float(values.min())
        case "max":
            return float(values.max())
    share = quantile_of(name)
    assert share is not None
    return float(np.quantile(values, share, method="inverted_cdf"))


# --- declared properties -----------------------------------------------------------------------------------


def _of_link(read: Callable[[FlowPath, Any], float | None]) -> Callable[[TrialResult, Flow], float | None]:
    """Return a function that reads a property of the bottleneck at the flow's start."""

    def value(trial: TrialResult, asked: Flow) -> float | None:
        path = flow_path(trial.job, asked)
        hop = path.bottleneck.at(asked["start_ns"])
        return None if hop is None else read(path, netem_over_time(hop.direction).at(asked["start_ns"]))

    return value


def _rate(trial: TrialResult, asked: Flow) -> float | None:
    window = asked["measured"]
    if window["start_ns"] >= window["end_ns"]:
        return None
    rate = flow_path(trial.job, asked).mean_rate_bps(window["start_ns"], window["end_ns"])
    return None if rate is None else float(rate)


def _queue_limit(trial: TrialResult, asked: Flow) -> float | None:
    limit = flow_path(trial.job, asked).queue_bytes(trial.job["mtu"], asked["start_ns"])
    return None if limit is None else limit * 8.0


def _path_rtt(trial: TrialResult, asked: Flow) -> float:
    return flow_path(trial.job, asked).rtt_ns.at(asked["start_ns"]) / 1e9


def _bdp(trial: TrialResult, asked: Flow) -> float | None:
    rate = _rate(trial, asked)
    return None if rate is None else rate * _path_rtt(trial, asked)


_DECLARED: Mapping[str, Callable[[TrialResult, Flow], float | None]] = {
    "link.rate": _rate,
    "link.delay": _of_link(lambda _path, netem: netem["delay_ns"] / 1e9 if netem else 0.0),
    "link.loss": _of_link(lambda _path, netem: mean_loss(netem)),
    "link.queue": _queue_limit,
    "path.rtt": _path_rtt,
    "path.delay": lambda trial, asked: flow_path(trial.job, asked).transit_ns / 1e9,
    "path.loss": lambda trial, asked: flow_path(trial.job, asked).loss,
    "bdp": _bdp,
    "mss": lambda trial, _asked: mss_bytes(trial.job) * 8.0,
    "packet": lambda trial, _asked: (trial.job["mtu"] + ETHERNET_HEADER_BYTES) * 8.0,
}

# --- samples: when, and the value ---------------------------------------------------------------------------

_Found = tuple[NDArray[np.float64], NDArray[np.float64]]


def _completions(trial: TrialResult, asked: Flow) -> _Found:
    found = completions_of(trial, asked["name"])
    done = found.is_complete
    return found.began_ns[done] / 1e9, found.fct_ns[done] / 1e9


def _latencies(trial: TrialResult, asked: Flow) -> _Found:
    table = trial.collected("latency", ["time_ns", "probe", "rtt_ns"])
    table = table.filter(pc.and_(pc.equal(table.column("probe"), asked["name"]), pc.greater(table.column("rtt_ns"), 0)))
    return table.column("time_ns").to_numpy() / 1e9, table.column("rtt_ns").to_numpy() / 1e9


def _decrease_factors(trial: TrialResult, asked: Flow) -> _Found:
    samples = ack_samples(trial, asked["name"])
    rows = reductions(samples)
    before = np.maximum(rows - 1, 0)
    return samples.time_ns[rows] / 1e9, ssthresh(samples)[rows] / samples.snd_cwnd[before]


_SAMPLES: Mapping[str, Callable[[TrialResult, Flow], _Found]] = {
    "fct": _completions,
    "latency": _latencies,
    "decrease_factor": _decrease_factors,
}

# --- events: when, and how many -----------------------------------------------------------------------------


def _counted(side: str, column: str) -> Callable[[TrialResult, Flow], _Found]:
    def found(trial: TrialResult, asked: Flow) -> _Found:
        table = trial.collected(ACCOUNTS, ["time_ns", "flow", "side", column])
        own = pc.and_(pc.equal(table.column("flow"), asked["name"]), pc.equal(table.column("side"), side))
        table = table.filter(pc.and_(own, pc.greater(table.column(column), 0)))
        return table.column("time_ns").to_numpy() / 1e9, table.column(column).to_numpy().astype(np.float64)

    return found


def _drops(trial: TrialResult, asked: Flow) -> _Found:
    table = trial.collected(LOSSES, ["time_ns", "packets", "flow", "way", "node", "interface", "cause"])
    rows: Sequence[Mapping[str, Any]] = table.to_pylist()
    # As lab.evaluation.on_the_way.dropped_of counts them.
    own = [
        (row["time_ns"] / 1e9, row["packets"])
        for row in rows
        if (row["flow"], row["way"]) == (asked["name"], "forward")
        and row["interface"]
        and row["cause"] != "receive_buffer"
        and not (row["node"] in (None, asked["destination"]) and row["cause"] == "other")
    ]
    own.sort()
    return np.array([at for at, _packets in own]), np.array([float(packets) for _at, packets in own])


def _reductions(trial: TrialResult, asked: Flow) -> _Found:
    at, _factors = _decrease_factors(trial, asked)
    return at, np.ones(len(at))


def _timeouts(trial: TrialResult, asked: Flow) -> _Found:
    rows = trace(trial, asked["name"])
    at = rows["time"][rows["is_timeout"]]
    return at, np.ones(len(at))


_EVENTS: Mapping[str, Callable[[TrialResult, Flow], _Found]] = {
    "retransmit": _counted("sent", "again_packets"),
    "drop": _drops,
    "mark": _counted("arrived", "ce_packets"),
    "reduction": _reductions,
    "timeout": _timeouts,
}
