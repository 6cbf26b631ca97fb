# SPDX-License-Identifier: Apache-2.0
"""Arrange a run's results as observations: of goodput, latency, completion times, losses and fairness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from lab.analysis.metrics import FlowMetrics
from lab.analysis.randomness import randomness
from lab.evaluation.axes import RunAxis, numeric_axis, value_label
from lab.evaluation.repetition import Measure, Repetition, repetitions_of
from lab.evaluation.trial import EvaluatedTrial
from lab.report.answer.observations import Factor, FactorKind, Measured, Observation, Quantity
from lab.report.model import Report
from lab.store.trial import TrialResult

_FLOWS = "flows"
"""Name of the factor whose levels are the flows of the same trial."""


def gather(report: Report) -> list[Measured]:
    """Return the observations of each quantity that the run measured, the most important one first."""
    return [measured for measured in _all(report) if measured.observations]


def _all(report: Report) -> Iterator[Measured]:
    unit, scale = report.rate_unit
    goodput = Quantity("goodput", unit, "higher", is_share_of_link=True)
    yield _of_flows(
        report, goodput, _is_bulk, lambda row: _scaled(row.goodput_bps, 1 / scale), lambda row: row.share_of_link
    )
    probes = list(dict.fromkeys(probe["name"] for job in report.jobs for probe in job["probes"]))
    for probe in probes:
        quantity = Quantity(f"the p95 latency of {probe}", "ms", "lower")
        yield _of_trials(report, quantity, partial(_probe_ms, probe))
    if not probes:
        quantity = Quantity("the mean queueing delay", "ms", "lower")
        yield _of_trials(report, quantity, _mean_over_bulk(lambda row: _scaled(row.queueing_delay_mean_us, 1e-3)))
    for group in dict.fromkeys(row.group for result in report.done for row in result.metrics if _is_short(row)):
        quantity = Quantity(f"the median completion time of {group}", "ms", "lower")
        yield _of_trials(report, quantity, partial(_completion_ms, group))
    for group in dict.fromkeys(row.group for result in report.done for row in result.metrics if _is_udp(row)):
        quantity = Quantity(f"the share of lost datagrams of {group}", "%", "lower", is_ratio=False)
        yield _of_trials(report, quantity, partial(_lost_percent, group))
    fairness = Quantity("Jain's fairness index", "", "higher", is_ratio=False)
    yield _of_trials(report, fairness, _mean_over_bulk(lambda row: row.jain_index))


# --- observations ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """An axis of the matrix as a factor."""

    axis: RunAxis
    factor: Factor

    def level(self, result: EvaluatedTrial) -> str:
        return value_label(self.axis, result.trial.cell.get(self.axis.path))


def _of_trials(report: Report, quantity: Quantity, value: Callable[[EvaluatedTrial], float | None]) -> Measured:
    """Return one observation for each trial."""
    axes, exact = _axes(report), _exact_cells(report)
    found = []
    for result in _usable(report):
        number = value(result)
        if number is not None:
            levels = {item.factor.name: item.level(result) for item in axes}
            repetition = result.trial.identity.repetition
            found.append(Observation(levels, repetition, number, is_exact=_cell(result) in exact))
    return _measured(quantity, [item.factor for item in axes], found)


def _of_flows(
    report: Report, quantity: Quantity, is_meant: Callable[[FlowMetrics], bool], value: Measure, share: Measure
) -> Measured:
    """Return one observation for each group of flows in each trial: the mean over the group's flows."""
    axes, exact = _axes(report), _exact_cells(report)
    found = []
    names: dict[str, None] = {}
    for result in _usable(report):
        levels = {item.factor.name: item.level(result) for item in axes}
        rows = [row for row in result.metrics if is_meant(row)]
        for group, algorithm, flows in repetitions_of(result, rows):
            number = flows.value(value)
            if number is not None:
                name = _flows_name(group, algorithm, has_axis=report.algorithm_axis is not None)
                names[name] = None
                repetition = result.trial.identity.repetition
                own = {**levels, _FLOWS: name}
                found.append(Observation(own, repetition, number, flows.value(share), _cell(result) in exact))
    flows_factor = Factor(_FLOWS, "flows", tuple(names))
    return _measured(quantity, [*(item.factor for item in axes), flows_factor], found)


def _measured(quantity: Quantity, factors: Sequence[Factor], found: Sequence[Observation]) -> Measured:
    """Return the observations with those factors that vary among them, those that compete first."""
    order: tuple[FactorKind, ...] = ("flows", "algorithm", "kernel", "named", "numeric")
    varying = [factor for factor in factors if len({item.levels[factor.name] for item in found}) > 1]
    return Measured(quantity, tuple(sorted(varying, key=lambda factor: order.index(factor.kind))), tuple(found))


def _usable(report: Report) -> list[EvaluatedTrial]:
    """Return the trials that the tables average: those of each cell that are not invalid, or all if all are invalid."""
    valid = {_cell(result) for result in report.done if result.verdict != "invalid"}
    return [result for result in report.done if result.verdict != "invalid" or _cell(result) not in valid]


@lru_cache(maxsize=4)
def _exact_cells(report: Report) -> frozenset[str]:
    """Return the cells in which nothing is random."""
    cells: dict[str, list[TrialResult]] = {}
    for result in report.done:
        cells.setdefault(_cell(result), []).append(result.trial)
    return frozenset(
        cell
        for cell, trials in cells.items()
        if not randomness(
            [trial.job for trial in trials], trials[0].record["engine"], trials[0].record["kernel"]
        ).can_differ
    )


def _cell(result: EvaluatedTrial) -> str:
    return repr(sorted(result.trial.cell.items(), key=lambda item: item[0]))


# --- factors -----------------------------------------------------------------------------------------------


def _axes(report: Report) -> list[_Axis]:
    return [_Axis(axis, _factor(report, axis)) for axis in report.axes]


def _factor(report: Report, axis: RunAxis) -> Factor:
    texts = tuple(dict.fromkeys(value_label(axis, value) for value in axis.values))
    if axis is report.algorithm_axis:
        return Factor("algorithm", "algorithm", texts)
    if axis is report.kernel_axis:
        return Factor("kernel", "kernel", texts)
    numbers = _numbers(report, axis)
    if numbers is None:
        return Factor(axis.label, "named", texts)
    return Factor(axis.label, "numeric", tuple(sorted(texts, key=numbers.__getitem__)))


def _numbers(report: Report, axis: RunAxis) -> dict[str, float] | None:
    """Return the number that each level of an axis stands for, by its text; None if the axis is not one of numbers."""
    if any(isinstance(value, dict | list) for value in axis.values):
        return None
    plain = {axis.text(value): float(value) for value in axis.values if type(value) in (int, float)}
    if len(plain) == len(axis.values):
        # 0 and 1 switch something off and on.
        return None if set(plain.values()) <= {0.0, 1.0} else plain
    rows = [(result.trial.cell, row) for result in report.done for row in result.metrics]
    found = numeric_axis([axis], rows)
    if found is None:
        return None
    _axis, quantity = found
    return {axis.text(cell.get(axis.path)): quantity.read(row) or 0.0 for cell, row in rows}


def _flows_name(group: str, algorithm: str, *, has_axis: bool) -> str:
    return group if has_axis or group == algorithm else f"{group} ({algorithm})"


# --- values ------------------------------------------------------------------------------------------------


def _is_short(row: FlowMetrics) -> bool:
    return row.fct_median_us is not None


def _is_udp(row: FlowMetrics) -> bool:
    return row.congestion_control == "udp"


def _is_bulk(row: FlowMetrics) -> bool:
    return not _is_short(row) and not _is_udp(row)


def _mean_over_bulk(measure: Measure) -> Callable[[EvaluatedTrial], float | None]:
    def value(result: EvaluatedTrial) -> float | None:
        return Repetition(result, tuple(row for row in result.metrics if _is_bulk(row))).value(measure)

    return value


def _probe_ms(probe: str, result: EvaluatedTrial) -> float | None:
    return next((_scaled(found.latency_p95_us, 1e-3) for found in result.probes if found.name == probe), None)


def _completion_ms(group: str, result: EvaluatedTrial) -> float | None:
    flows = tuple(row for row in result.metrics if row.group == group)
    return Repetition(result, flows).value(lambda row: _scaled(row.fct_median_us, 1e-3))


def _lost_percent(group: str, result: EvaluatedTrial) -> float | None:
    flows = tuple(row for row in result.metrics if row.group == group)
    return Repetition(result, flows).value(lambda row: _scaled(row.datagrams_lost_share, 100))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
