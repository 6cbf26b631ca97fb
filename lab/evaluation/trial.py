# SPDX-License-Identifier: Apache-2.0
"""Compute metrics, verdicts and curves from stored trials, by passing what the store reads to the analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.ack_samples import (
    CA_STATES,
    INFINITE_SSTHRESH,
    SAMPLE_COLUMNS,
    AckSamples,
    Floats,
    Integers,
    StateSamples,
    before_timeouts,
    ssthresh,
    with_timeouts,
)
from lab.analysis.capacity import bin_edges_ns, capacity_changes_ns, follows_file, path_capacity
from lab.analysis.checks.check import Check, Verdict
from lab.analysis.checks.judge import judge, verdict
from lab.analysis.completions import Completions
from lab.analysis.measured import MeasuredFlow, MeasuredProbe, MeasuredTrial, measured_flow
from lab.analysis.metrics import FlowMetrics, ProbeMetrics, probe_metrics, trial_metrics, uses_ssthresh
from lab.analysis.path import goodput_ceiling
from lab.analysis.reductions import reduction_causes
from lab.analysis.series import Bins, bin_width_ns, decimate, rate_series
from lab.errors import StoreError
from lab.evaluation.alone import Together, with_harm
from lab.evaluation.axes import RunAxis, axes_of
from lab.evaluation.on_the_way import dropped_by_queues, dropped_of, queues_of, troubles_of
from lab.evaluation.processes import shared_out
from lab.evaluation.rows import metric_rows, metric_schema
from lab.job.over_time import Steps
from lab.job.protocol import Probe
from lab.job.windows import is_cut
from lab.store.run import Run
from lab.store.trial import TrialResult

TCP_PROBE = "tcp_probe"
"""Name of the collector that records a row for each ACK."""
ACCOUNTS = "accounts"
"""Name of the table of what each flow sent and what arrived of it, in bins of time."""
COMPLETIONS = "completions"
"""Name of the table of short flows."""
LATENCY = "latency"
"""Name of the table of the probes' answers."""

AHEAD_PACKETS = 2
"""Number of packets that may arrive before a link's rate allows it: the one that is sent, and one in tbf's bucket."""

CURVE_BINS = 500
"""Number of bins to which a curve is reduced.

A panel is at most 3.5 inches wide, and at 150 dots per inch more points than this could not be told apart.
"""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""x and y of a curve's points; x is in seconds since the start of traffic."""


@dataclass(frozen=True)
class FlowCurves:
    """The curves of one flow over time."""

    cwnd: Curve
    """Congestion window, in segments."""
    ssthresh: Curve | None
    """Slow-start threshold in segments, only while it is finite; None if the algorithm does not use it."""
    srtt: Curve
    """Smoothed RTT, in milliseconds."""
    base_rtt: Curve | None
    """Base RTT in milliseconds, until the end of traffic; each value holds until the next.  None if it is not known."""
    goodput: Curve
    """Rate at which payload arrived at the receiver, in bins, in bit/s; each value holds until the next."""
    capacity: Curve | None
    """Largest possible goodput in bins, in bit/s; each value holds until the next.  None without a rate limit."""
    follows_file: bool
    """Whether the capacity is that of a capacity file."""
    bin_s: float
    """Smallest width of the bins of :attr:`goodput` and :attr:`capacity`, in seconds."""


@dataclass(frozen=True)
class EvaluatedTrial:
    """A stored trial with its metrics, checks and curves."""

    trial: TrialResult
    metrics: tuple[FlowMetrics, ...] = ()
    checks: tuple[Check, ...] = ()
    curves: Mapping[str, FlowCurves] = field(default_factory=dict)
    """Curves by the name of the flow; empty if no flow was traced."""
    reductions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Flow → cause → how often the sender reduced its window for it; only of flows that were traced, without BBR's."""
    probes: tuple[ProbeMetrics, ...] = ()
    """What the probes measured; they have rows of their own in ``metrics.parquet``."""

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the trial; None if the trial failed."""
        return verdict(self.checks) if self.trial.ok else None


_Results: TypeAlias = tuple[
    tuple[FlowMetrics, ...],
    tuple[Check, ...],
    Mapping[str, FlowCurves],
    Mapping[str, Mapping[str, int]],
    tuple[ProbeMetrics, ...],
]
"""What is computed of a trial, in the order of the fields of :class:`EvaluatedTrial`."""


def measure(trial: TrialResult) -> MeasuredTrial:
    """Read everything that the trial measured.

    Raises:
        StoreError: A file of the trial is missing or damaged.
        ValueError: A flow of the job is missing from the record.
    """
    job, record = trial.job, trial.record
    samples_of, states_of, unmatched = _samples(trial) if TCP_PROBE in record["collectors"] else (None, {}, 0)
    given_up = {flow["name"] for flow in record["flows"] if flow["was_given_up"]}
    flows = []
    for asked in job["flows"]:
        name = asked["name"]
        samples = samples_of.get(name, _NO_ROWS) if samples_of is not None else None
        if asked["arrivals"] is not None:
            flows.append(measured_flow(job, record, name, {}, {}, None, completions_of(trial, name)))
            continue
        states = states_of.get(name) if asked["protocol"] == "tcp" else None
        client, server = ({}, {}) if name in given_up else (trial.iperf3(name, "client"), trial.iperf3(name, "server"))
        is_tcp = asked["protocol"] == "tcp"
        flows.append(measured_flow(job, record, name, client, server, samples if is_tcp else None, states=states))
    return MeasuredTrial(
        job,
        record,
        tuple(flows),
        queues_of(trial),
        dropped_of(trial),
        unmatched,
        arrivals_of(trial),
        dropped_by_queues(trial),
        tuple(measured_probe(trial, probe) for probe in job["probes"]),
    )


def evaluate_trial(trial: TrialResult, *, with_curves: bool = True) -> EvaluatedTrial:
    """Judge a trial and compute its metrics and curves.  A failed trial has none of them.

    What needs no curves and no causes of reductions takes a third less time without them.

    Raises:
        StoreError: A file of the trial is missing or damaged.
    """
    if not trial.ok:
        return EvaluatedTrial(trial)
    try:
        return _evaluated(trial, with_curves=with_curves)
    except _DAMAGED as exc:
        raise StoreError(f"{trial.path} is damaged: {type(exc).__name__}: {exc}") from exc


_DAMAGED = (LookupError, TypeError, AttributeError, ArithmeticError, ValueError, pa.ArrowException)
"""What reading a trial ends in if the output of tc, or the rows of a collector, are not what the tool writes.

Neither has a schema against which they could be checked before, and both come from the guest.
"""


def _evaluated(trial: TrialResult, *, with_curves: bool) -> EvaluatedTrial:
    try:
        measured = measure(trial)
        checks, metrics = judge(measured), trial_metrics(measured)
    except ValueError as exc:
        return EvaluatedTrial(trial, checks=(_unreadable(exc),))
    probes = tuple(probe_metrics(measured))
    if not with_curves:
        return EvaluatedTrial(trial, tuple(metrics), tuple(checks), probes=probes)
    curves = {
        flow.name: _curves(measured, flow, flow.sending, measured.arrivals[flow.name])
        for flow in measured.flows
        if flow.sending is not None and len(flow.sending)
    }
    troubles = troubles_of(trial) if any(flow.sending is not None for flow in measured.flows) else {}
    reductions = {
        flow.name: reduction_causes(flow.measured_samples, troubles[flow.name], trial.job["bin_ns"])
        for flow in measured.bulk_flows
        if flow.is_measured and flow.measured_samples is not None and uses_ssthresh(flow.result["congestion_control"])
    }
    return EvaluatedTrial(trial, tuple(metrics), tuple(checks), curves, reductions, probes)


def evaluate_trials(run: Run, *, with_curves: bool = True) -> list[EvaluatedTrial]:
    """Evaluate all stored trials of a run, on all processors; raises what :func:`evaluate_trial` raises."""
    trials = list(run.trials())

    def evaluated(place: int) -> _Results:
        # The trial itself, with all of its job and record, need not come back from another process.
        found = evaluate_trial(trials[place], with_curves=with_curves)
        return found.metrics, found.checks, found.curves, found.reductions, found.probes

    return [
        EvaluatedTrial(trial, *results)
        for trial, results in zip(trials, shared_out(evaluated, len(trials)), strict=True)
    ]


def evaluate_run(run: Run) -> list[EvaluatedTrial]:
    """Evaluate all stored trials of a run, and write their ``validity.json`` and the run's ``metrics.parquet``.

    Raises:
        StoreError: A trial is damaged, or a file cannot be written.
    """
    evaluated = evaluate_trials(run)
    for result in evaluated:
        if result.trial.ok:
            checks = [asdict(check) for check in result.checks]
            if result.trial.validity != checks:
                result.trial.put_validity(checks)
    evaluated = compared_with_alone(evaluated)
    run.put_metrics(*run_metrics(run, evaluated))
    return evaluated


def compared_with_alone(evaluated: Sequence[EvaluatedTrial]) -> list[EvaluatedTrial]:
    """Return all trials of a run with the harm to flows that other trials show alone."""
    together = [
        Together(result.trial.job, result.metrics, result.verdict != "invalid")
        for result in evaluated
        if result.metrics
    ]
    found = iter(with_harm(together))
    return [replace(result, metrics=next(found)) if result.metrics else result for result in evaluated]


def run_metrics(run: Run, evaluated: Sequence[EvaluatedTrial]) -> tuple[list[dict[str, Any]], pa.Schema]:
    """Return the rows of ``metrics.parquet`` for the *evaluated* trials of *run*, and the types of the columns."""
    axes = axes_of(run.plan, [result.trial for result in evaluated])
    return [row for result in evaluated for row in rows_of(result, axes)], metric_schema(axes)


def rows_of(result: EvaluatedTrial, axes: Sequence[RunAxis]) -> list[dict[str, Any]]:
    """Return a trial's rows of ``metrics.parquet``."""
    return metric_rows(result.trial.identity, result.verdict, result.metrics, result.probes, axes)


_NO_ROWS = AckSamples.from_columns({name: np.zeros(0, np.int64) for name in SAMPLE_COLUMNS})


def _samples(trial: TrialResult) -> tuple[dict[str, AckSamples], dict[str, StateSamples], int]:
    """Return the tcp_probe rows of each flow by its name, their states, and how many rows belong to no flow.

    There are no states if only the rows with another window were recorded: the state also changes without it.
    """
    stored = [name for name in SAMPLE_COLUMNS if name != "in_recovery"]
    table = trial.collected(TCP_PROBE, [*stored, "ca_state", "ca_mode", "flow", "end", "is_transmit"])
    # Keep the rows that the sender recorded when ACKs arrived and after timeouts.  Rows of the receiver, and those of
    # other segments that were sent, are not used here.
    at_sender = pc.or_kleene(pc.equal(table.column("end"), "source"), pc.is_null(table.column("end")))
    is_used = pc.is_in(table.column("is_transmit"), pa.array(["receive", "timeout"]))
    table = table.filter(pc.and_(at_sender, is_used))
    flow = table.column("flow").combine_chunks()
    names = [] if not len(flow) else flow.dictionary.to_pylist()
    index = flow.indices.fill_null(-1).to_numpy() if len(flow) else np.zeros(0, np.int64)
    columns = {name: table.column(name).to_numpy() for name in stored}
    columns["in_recovery"] = pc.is_in(table.column("ca_state"), pa.array(["CWR", "Recovery"])).to_numpy()
    is_timeout = pc.equal(table.column("is_transmit"), "timeout").to_numpy()
    state = pc.index_in(table.column("ca_state"), pa.array(CA_STATES)).fill_null(0).to_numpy().astype(np.int64)
    in_startup = pc.equal(table.column("ca_mode"), "Startup").fill_null(False).to_numpy()
    has_all_states = trial.job["collectors"][TCP_PROBE].get("record") != "cwnd_change"
    samples_of, states_of = {}, {}
    for number, name in enumerate(names):
        own = index == number
        rows = AckSamples.from_columns({column: values[own] for column, values in columns.items()})
        samples_of[name] = with_timeouts(rows, is_timeout[own], _end_ns(trial, name))
        if has_all_states:
            states_of[name] = StateSamples(
                rows.time_ns,
                before_timeouts(state[own], is_timeout[own]),
                before_timeouts(in_startup[own], is_timeout[own]),
            )
    return samples_of, states_of, int(np.count_nonzero(index < 0))


def measured_probe(trial: TrialResult, asked: Probe) -> MeasuredProbe:
    """Return the requests of a probe that were sent within its measured window."""
    table = trial.collected(LATENCY, ["time_ns", "probe", "rtt_ns"])
    table = table.filter(pc.equal(table.column("probe"), asked["name"]))
    if is_cut(asked):
        sent_ns, window = table.column("time_ns"), asked["measured"]
        table = table.filter(pc.and_(pc.greater_equal(sent_ns, window["start_ns"]), pc.less(sent_ns, window["end_ns"])))
    return MeasuredProbe(asked, table.column("rtt_ns").to_numpy().astype(np.int64))


def _end_ns(trial: TrialResult, flow: str) -> int:
    asked = next(item for item in trial.job["flows"] if item["name"] == flow)
    return asked["start_ns"] + asked["duration_ns"]


def completions_of(trial: TrialResult, group: str) -> Completions:
    """Return the completion times of a group of short flows."""
    table = trial.collected(COMPLETIONS, ["time_ns", "fct_ns", "bytes", "retransmissions", "group"])
    table = table.filter(pc.equal(table.column("group"), group))
    columns = [table.column(name).to_numpy().astype(np.int64) for name in table.column_names[:4]]
    return Completions(*columns)


def arrivals_of(trial: TrialResult) -> dict[str, Bins]:
    """Return what arrived of each flow, by its name."""
    table = trial.collected(ACCOUNTS, ["time_ns", "flow", "side", "bytes", "again_bytes"])
    table = table.filter(pc.equal(table.column("side"), "arrived"))
    found = {}
    for flow in trial.job["flows"]:
        own = table.filter(pc.equal(table.column("flow"), flow["name"]))
        times, payload, again = (
            own.column(name).to_numpy().astype(np.int64) for name in ("time_ns", "bytes", "again_bytes")
        )
        has_any = payload > again
        found[flow["name"]] = Bins(times[has_any], (payload - again)[has_any], trial.job["bin_ns"])
    return found


def _curves(trial: MeasuredTrial, flow: MeasuredFlow, samples: AckSamples, arrivals: Bins) -> FlowCurves:
    mss, ceiling = trial.mss, goodput_ceiling(trial.job)
    seconds = samples.time_ns / 1e9
    measured = samples.srtt_us > 0
    threshold = None
    if uses_ssthresh(flow.result["congestion_control"]):
        values = ssthresh(samples)
        finite = values < INFINITE_SSTHRESH
        threshold = decimate(seconds[finite], values[finite], CURVE_BINS)
    # Flows of the same path have the same bins, whenever they start, so that they can be compared with its capacity.
    end_ns, duration_ns = flow.path.end_ns, trial.job["duration_ns"]
    rate_bps = flow.path.mean_rate_bps(0, duration_ns)
    packet_ns = mss / ceiling * 8e9 / rate_bps if rate_bps else 0.0
    width_ns = bin_width_ns(duration_ns, flow.longest_base_rtt_us, packet_ns)
    edges_ns = bin_edges_ns(end_ns, width_ns, capacity_changes_ns(flow.path))
    path = path_capacity(flow.path)

    def payload(ends_ns: Integers) -> Floats | None:
        found = path.bytes_in(ends_ns)
        return None if found is None else found * ceiling

    own_ns = _within(edges_ns, flow.start_ns, flow.end_ns, width_ns)
    capacity = path.bps_in(edges_ns)
    base = flow.base_rtt_over_time
    return FlowCurves(
        cwnd=decimate(seconds, samples.snd_cwnd, CURVE_BINS),
        ssthresh=threshold,
        srtt=decimate(seconds[measured], samples.srtt_us[measured] / 1000, CURVE_BINS),
        base_rtt=None if base is None else _base_curve(base, end_ns),
        goodput=_steps(own_ns, rate_series(arrivals, own_ns, payload, AHEAD_PACKETS * mss, width_ns)),
        capacity=None if capacity is None else _steps(edges_ns, capacity * ceiling),
        follows_file=follows_file(flow.path),
        bin_s=width_ns / 1e9,
    )


def _within(edges_ns: Integers, start_ns: int, end_ns: int, width_ns: int) -> Integers:
    """Return the edges of the bins of a flow: those of the path in its time, without parts of less than half a bin."""
    inside = edges_ns[(edges_ns > start_ns + width_ns / 2) & (edges_ns < end_ns - width_ns / 2)]
    return np.concatenate([[start_ns], inside, [end_ns]]).astype(np.int64)


def _base_curve(base: Steps[float], end_ns: int) -> Curve:
    times_ns = np.array([*(at_ns for at_ns, _value in base.changes), end_ns], dtype=np.int64)
    return _steps(times_ns, np.array([value_us / 1000 for _at, value_us in base.changes]))


def _steps(edges_ns: Integers, values: Floats) -> Curve:
    """Return the curve of values that each hold from one edge to the next."""
    return edges_ns / 1e9, np.append(values, values[-1:])


def _unreadable(reason: ValueError) -> Check:
    return Check(
        id="readable",
        title="Results are readable",
        verdict="invalid",
        asked="results that can be evaluated",
        found=str(reason),
        threshold="invalid: the results cannot be evaluated, for example because that of a flow is missing",
        meaning="A trial whose results cannot be evaluated cannot be compared with others.",
    )
