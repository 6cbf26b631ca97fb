# SPDX-License-Identifier: Apache-2.0
"""The results of a run, arranged for figures and tables: facets, series, and the repetitions of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lab.analysis.checks.check import Verdict, worst
from lab.analysis.intervals import UNBOUNDED, Bounds, Estimate, interval
from lab.analysis.randomness import Randomness, randomness
from lab.analysis.statistics import Summary, median_index, summarise
from lab.evaluation.axes import Quantity, RunAxis, algorithm_axis, axes_of, numeric_axis
from lab.evaluation.repetition import Measure, Repetition
from lab.evaluation.trial import EvaluatedTrial
from lab.job.protocol import Job
from lab.report.figures.look.style import DASHES, MARKERS, Look, looks, tinted
from lab.store.run import Run
from lab.units import rate_unit


@dataclass(frozen=True)
class Series:
    """What has the same colour, line and marker in all figures: a group of flows, its algorithm and its kernel."""

    group: str
    algorithm: str
    kernel: str
    """The kernel as text; empty if the experiment does not compare kernels."""
    label: str
    """The text in legends and tables: the algorithm, with the group and the kernel if there are several."""
    look: Look


@dataclass(frozen=True)
class Row:
    """A row of the results table: one series in one cell of the matrix, with all its repetitions."""

    facet: tuple[str, ...]
    """The cell's values on all axes except those of the algorithm and the kernel, as text."""
    series: Series
    used: tuple[Repetition, ...]
    """The repetitions that are averaged: those that are not invalid, or all of them if all are invalid."""
    left_out: int
    """Number of invalid repetitions that are not averaged."""
    missing: int
    """Number of trials that failed or have not been run."""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on the trials that are averaged."""
        return worst(repetition.evaluated.verdict or "ok" for repetition in self.used)

    def values(self, measure: Measure) -> list[float]:
        """Return the value of *measure* in each repetition that has one."""
        return self.values_of(lambda repetition: repetition.value(measure))

    def values_of(self, read: Callable[[Repetition], float | None]) -> list[float]:
        """Return what *read* returns for each repetition that has a value."""
        return [value for value in map(read, self.used) if value is not None]

    def summary(self, measure: Measure) -> Summary | None:
        """Return the statistics of *measure* over the repetitions; None if no repetition has a value."""
        return summarise(self.values(measure))

    def estimate(self, measure: Measure, bounds: Bounds = UNBOUNDED) -> Estimate | None:
        """Return mean and median of *measure* with their intervals, within *bounds*; None if no repetition has a value.

        Equal repetitions have no interval, and the estimate's reason says why they are equal.
        """
        return self.estimate_of(lambda repetition: repetition.value(measure), bounds)

    def estimate_of(self, read: Callable[[Repetition], float | None], bounds: Bounds = UNBOUNDED) -> Estimate | None:
        """Return what :meth:`estimate` does, of what *read* returns for each repetition."""
        found = interval(self.values_of(read), bounds)
        return found.without_intervals(self.why_equal) if found is not None and self.are_equal else found

    def by_repetition(self, read: Callable[[Repetition], float | None]) -> dict[tuple[int, int], float]:
        """Return the number and the seed of each repetition that has a value → what *read* returns for it."""
        found = {}
        for repetition in self.used:
            value, identity = read(repetition), repetition.evaluated.trial.identity
            if value is not None:
                found[identity.repetition, identity.seed] = value
        return found

    @cached_property
    def randomness(self) -> Randomness:
        """What can make the repetitions differ."""
        trials = [repetition.evaluated.trial for repetition in self.used]
        return randomness([trial.job for trial in trials], trials[0].record["engine"], trials[0].record["kernel"])

    @cached_property
    def are_equal(self) -> bool:
        """Whether there are several repetitions, and their raw records are equal to the byte."""
        return len(self.used) > 1 and len({one.evaluated.trial.record_digest for one in self.used}) == 1

    @property
    def why_equal(self) -> str:
        """A clause that says why equal repetitions have no interval."""
        cause = "although" if self.randomness.can_differ else "because"
        return f"the repetitions are equal, {cause} {self.randomness}"

    def median(self) -> Repetition:
        """Return the repetition with the median goodput."""
        return self.used[
            median_index([repetition.value(lambda row: row.goodput_bps) or 0.0 for repetition in self.used])
        ]


class Report:
    """The evaluated run from which figures, tables and the page are made."""

    def __init__(self, run: Run, evaluated: Sequence[EvaluatedTrial]) -> None:
        self.run = run
        self.plan = run.plan
        self.provenance = run.provenance
        self.evaluated = tuple(evaluated)
        trials = [result.trial for result in evaluated]
        self.axes: list[RunAxis] = axes_of(self.plan, trials)
        self.algorithm_axis = algorithm_axis(self.axes, trials)
        self.kernel_axis = next((axis for axis in self.axes if axis.path == "kernel"), None)
        self.facet_axes = [axis for axis in self.axes if axis not in (self.algorithm_axis, self.kernel_axis)]

    @property
    def title(self) -> str:
        """The title of the experiment, or else its name."""
        return str(self.plan.get("title") or self.plan.get("name") or self.run.experiment)

    @property
    def description(self) -> str:
        """The description of the experiment; may be empty."""
        return str(self.plan.get("description") or "")

    @cached_property
    def planned(self) -> int:
        """The number of trials in the plan, or of stored trials if the plan lists none."""
        return len(self.run.planned_ids()) or len(self.evaluated)

    @property
    def failed(self) -> list[EvaluatedTrial]:
        """The trials that failed."""
        return [result for result in self.evaluated if not result.trial.ok]

    @property
    def done(self) -> list[EvaluatedTrial]:
        """The trials that were carried out, whatever their verdict."""
        return [result for result in self.evaluated if result.trial.ok]

    def count(self, verdict: Verdict) -> int:
        """Return the number of trials with this verdict."""
        return sum(result.verdict == verdict for result in self.done)

    @property
    def not_run(self) -> list[str]:
        """The ids of the planned trials that are not stored."""
        stored = {result.trial.id for result in self.evaluated}
        return [trial_id for trial_id in self.run.planned_ids() if trial_id not in stored]

    @cached_property
    def rate_unit(self) -> tuple[str, int]:
        """The unit of mean rates in the tables and figures, and how many bit/s it has: that of the largest goodput.

        In one unit, rates can be compared, and it is chosen so that they have enough digits.
        """
        rates = (flow.goodput_bps for result in self.done for flow in result.metrics)
        return rate_unit(rate for rate in rates if rate is not None)

    @cached_property
    def jobs(self) -> list[Job]:
        """The jobs of all stored trials that have one."""
        return [result.trial.job for result in self.evaluated if result.trial.job]

    @cached_property
    def numeric(self) -> tuple[RunAxis, Quantity] | None:
        """The axis that the comparison can use as its x-axis, and the quantity that it varies; None without one."""
        pairs = [(result.trial.cell, flow) for result in self.done for flow in result.metrics]
        return numeric_axis(self.facet_axes, pairs)

    def facet(self, cell: dict[str, Any]) -> tuple[str, ...]:
        """Return the values of *cell* on all axes except those of the algorithm and the kernel, as text."""
        return tuple(axis.text(cell.get(axis.path)) for axis in self.facet_axes)

    def facet_title(self, facet: tuple[str, ...], axes: Sequence[RunAxis] | None = None) -> str:
        """Return a facet as text, such as ``loss 0.1%, rtt 40 ms``, limited to *axes* if they are given.

        The text is empty if only the algorithm and the kernel vary.
        """
        chosen = self.facet_axes if axes is None else axes
        named = dict(zip((axis.path for axis in self.facet_axes), facet, strict=True))
        return ", ".join(f"{axis.label} {named[axis.path]}" for axis in chosen)

    @cached_property
    def facets(self) -> list[tuple[str, ...]]:
        """The facets with results, in the order of the experiment."""
        cells = [result.trial.cell for result in self.done if result.metrics]
        cells.sort(key=lambda cell: [axis.rank(cell.get(axis.path)) for axis in self.facet_axes])
        return list(dict.fromkeys(self.facet(cell) for cell in cells))

    @cached_property
    def series(self) -> list[Series]:
        """The series with results, in the order of the experiment."""
        keys = [
            (flow.group, flow.congestion_control, self._kernel(result))
            for result in self.done
            for flow in result.metrics
        ]
        return _series(list(dict.fromkeys(keys)), self.algorithm_axis, self.kernel_axis)

    def _kernel(self, result: EvaluatedTrial) -> str:
        return self.kernel_axis.text(result.trial.cell.get("kernel")) if self.kernel_axis else ""

    @cached_property
    def rows(self) -> list[Row]:
        """One row for each facet and series with results."""
        found = []
        for facet in self.facets:
            for series in self.series:
                row = self._row(facet, series)
                if row is not None:
                    found.append(row)
        return found

    def rows_of(self, facet: tuple[str, ...]) -> list[Row]:
        """Return the rows of one facet."""
        return [row for row in self.rows if row.facet == facet]

    def _row(self, facet: tuple[str, ...], series: Series) -> Row | None:
        repetitions = []
        for result in self.done:
            key = (series.group, series.algorithm)
            flows = tuple(flow for flow in result.metrics if (flow.group, flow.congestion_control) == key)
            if flows and self.facet(result.trial.cell) == facet and self._kernel(result) == series.kernel:
                repetitions.append(Repetition(result, flows))
        if not repetitions:
            return None
        valid = tuple(item for item in repetitions if item.evaluated.verdict != "invalid")
        planned = self._planned_in(repetitions[0].evaluated.trial.cell)
        missing = max(0, planned - len(repetitions))
        return Row(facet, series, valid or tuple(repetitions), len(repetitions) - len(valid) if valid else 0, missing)

    def _planned_in(self, cell: dict[str, Any]) -> int:
        """Return the number of trials that the plan has for *cell*; 0 if the plan does not say."""
        return self._planned_by_values.get(json.dumps(cell, sort_keys=True), 0)

    @cached_property
    def _planned_by_values(self) -> dict[str, int]:
        """The values of a cell as JSON → the number of trials that the plan has for it."""
        number = Counter(trial.get("cell") for trial in self.plan.get("trials", []))
        found = Counter[str]()
        for cell in self.plan.get("cells", []):
            found[json.dumps(cell.get("values"), sort_keys=True)] += number[cell["id"]]
        return dict(found)


def _series(keys: Sequence[tuple[str, str, str]], algorithms: RunAxis | None, kernels: RunAxis | None) -> list[Series]:
    """Return a series, with its look, for each distinct (group, algorithm, kernel).

    The colour is that of the algorithm; dashes and markers distinguish the groups or kernels of the same algorithm.  If
    there is only one algorithm, they have variants of its colour as well.
    """
    ordered = sorted(keys, key=lambda key: kernels.rank_of_text(key[2]) if kernels else 0)
    if algorithms is not None:
        ordered.sort(key=lambda key: algorithms.rank(key[1]))
    several_groups = len({key[0] for key in keys}) > 1
    colours = looks(list(dict.fromkeys(key[1] for key in ordered)))
    found = []
    for key in ordered:
        look = colours[key[1]]
        alike = [other for other in ordered if other[1] == key[1]]
        if len(alike) > 1:
            place = alike.index(key)
            tint = tinted(look.colour, place)
            colour = tint if len(colours) == 1 else look.colour
            look = replace(
                look, colour=colour, dashes=DASHES[place % 4], marker=MARKERS[place % len(MARKERS)], tint=tint
            )
        group, algorithm, kernel = key
        label = f"{group} ({algorithm})" if several_groups and group != algorithm else algorithm
        found.append(Series(*key, ", ".join(filter(None, (label, kernel))), look))
    return found
