# SPDX-License-Identifier: Apache-2.0
"""The cells of a run and their trials, and which of them, and of their flows, the terms of an expectation are about."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.evaluation.axes import RunAxis, axes_of
from lab.evaluation.trial import EvaluatedTrial
from lab.expect.meaning import Meaning, Term
from lab.expect.names import STATES, Declared, Kind
from lab.expect.setting import Axis, Setting
from lab.expect.tree import Measure
from lab.job.protocol import Job
from lab.store.stored_job import check_job

__all__ = ["Cell", "Cells", "Subject", "cells_of", "subjects"]


@dataclass(frozen=True)
class Cell:
    """One combination of the matrix's values, and its trials."""

    places: tuple[int, ...]
    """The place of its value on each axis."""
    texts: Mapping[str, str]
    """Label of an axis → the cell's value as text."""
    planned: Mapping[int, str]
    """Number of a repetition → the id of its trial."""
    trials: Mapping[int, EvaluatedTrial]
    """Number of a repetition → its trial, if it has been run."""
    job: Job | None
    """The job of one of its trials; None if nobody knows it."""

    @property
    def name(self) -> str:
        """The cell as text, such as ``cc bbr, loss 1%``; empty if there is only one."""
        return ", ".join(f"{label} {text}" for label, text in self.texts.items())

    def kinds(self) -> dict[str, Kind]:
        """Return the name of each declared flow and probe of the cell → what it is."""
        if self.job is None:
            return {}
        found: dict[str, Kind] = {}
        for flow in self.job["flows"]:
            short = flow["arrivals"] is not None
            found[flow["group"]] = "short_flows" if short else "udp" if flow["protocol"] == "udp" else "tcp"
        for probe in self.job["probes"]:
            found[probe["name"]] = "probe"
        return found

    def algorithm(self, name: str) -> str | None:
        """Return the congestion control of a flow, given by its own name or by the declared one."""
        flows = self.job["flows"] if self.job is not None else []
        return next((flow["congestion_control"] for flow in flows if name in (flow["group"], flow["name"])), None)

    def group(self, name: str) -> str | None:
        """Return the declared flow or the probe that a name stands for; None if the cell has none of this name."""
        flows = self.job["flows"] if self.job is not None else []
        groups = (flow["group"] for flow in flows if name in (flow["group"], flow["name"]))
        return next(groups, name if name in self.kinds() else None)


@dataclass(frozen=True)
class Cells:
    """All cells of a run."""

    axes: tuple[RunAxis, ...]
    all: tuple[Cell, ...]

    def setting(self) -> Setting:
        """Return what expectations can name in the run."""
        groups: dict[str, set[Kind]] = {}
        members: dict[str, str] = {}
        algorithms, collectors = set[str](), set[str]()
        for cell in self.all:
            for name, kind in cell.kinds().items():
                groups.setdefault(name, set()).add(kind)
            if cell.job is not None:
                collectors |= cell.job["collectors"].keys()
                algorithms |= {one["congestion_control"] for one in cell.job["flows"] if one["protocol"] == "tcp"}
                members |= {one["name"]: one["group"] for one in cell.job["flows"] if one["name"] != one["group"]}
        return Setting(
            tuple(Axis(axis.path, axis.values) for axis in self.axes),
            {name: frozenset(kinds) for name, kinds in groups.items()},
            members,
            frozenset(algorithms),
            frozenset(collectors),
        )

    def chosen(self, cell: Cell, term: Term) -> list[Cell]:
        """Return the cells that *term* is about if the condition is looked at in *cell*: those that differ from it only
        on the axes that the term names."""
        options = [
            term.selection.axes.get(axis.path, (place,)) for axis, place in zip(self.axes, cell.places, strict=True)
        ]
        return [self._by_places[places] for places in itertools.product(*options) if places in self._by_places]

    @cached_property
    def _by_places(self) -> dict[tuple[int, ...], Cell]:
        return {one.places: one for one in self.all}


@dataclass(frozen=True)
class Subject:
    """One case in which a condition must hold."""

    cell: Cell
    flow: str
    """The declared flow, single flow or probe."""
    places: Mapping[Measure, tuple[Cell, str]]
    """Each term of the condition → the cell and the flow or probe whose value it has."""
    reason: str = ""
    """Why there is nothing to compare; empty if there is."""


def cells_of(plan: Mapping[str, Any], evaluated: Sequence[EvaluatedTrial]) -> Cells:
    """Return the cells of the plan with their trials.

    Raises:
        StoreError: The plan is damaged: a job in it, of a cell without any trial, is none.
    """
    axes = tuple(axes_of(plan, [result.trial for result in evaluated]))
    done = {result.trial.id: result for result in evaluated}
    planned: dict[Any, dict[int, tuple[str, object]]] = {}
    for trial in plan.get("trials", []):
        # A stored plan need not say of which cell a trial is; such a trial belongs to none.
        if "repetition" in trial:
            planned.setdefault(trial.get("cell"), {})[trial["repetition"]] = (trial["id"], trial.get("job"))
    found = []
    for cell in plan.get("cells", []):
        own = planned.get(cell["id"], {})
        trials = {number: done[trial_id] for number, (trial_id, _job) in own.items() if trial_id in done}
        values = cell["values"]
        found.append(
            Cell(
                tuple(axis.rank(values.get(axis.path)) for axis in axes),
                {axis.label: axis.text(values.get(axis.path)) for axis in axes},
                {number: trial_id for number, (trial_id, _job) in sorted(own.items())},
                trials,
                _job_of(trials.values(), [job for _id, job in own.values()]),
            )
        )
    return Cells(axes, tuple(found))


def _job_of(trials: Iterable[EvaluatedTrial], planned: Iterable[object]) -> Job | None:
    """Return the job of one of a cell's trials, or else one that the plan has for it, which must be checked."""
    stored = next((result.trial.job for result in trials if result.trial.job), None)
    if stored is not None:
        return stored
    return next((check_job(job, "the plan", ("trials",)) for job in planned if job is not None), None)


def subjects(meaning: Meaning, cells: Cells) -> Iterator[Subject]:
    """Yield the cases in which a condition must hold: each chosen cell, with each flow that has what is measured.

    Nothing is compared with itself: the case is left out in which another term, which names a cell or a flow, stands
    for the very thing that it is compared with.
    """
    subject = meaning.subject
    others = [term for term in meaning.terms.values() if term is not subject]
    seen = set[str]()
    for cell in cells.all:
        if any(place not in subject.selection.axes.get(axis.path, (place,)) for axis, place in _at(cells, cell)):
            continue
        for flow in _flows(subject, cell):
            options = [list(_options(term, cells, cell, flow)) for term in others]
            lacking = [term for term, found in zip(others, options, strict=True) if not found]
            if lacking:
                yield Subject(cell, flow, {subject.measure: (cell, flow)}, _why_nothing(lacking[0], flow))
            for chosen in itertools.product(*options):
                places = {subject.measure: (cell, flow)}
                places |= {term.measure: place for term, place in zip(others, chosen, strict=True)}
                key = json.dumps([[where.places, who] for where, who in places.values()])
                if key not in seen and not any(_is_itself(term, places, subject) for term in others):
                    seen.add(key)
                    yield Subject(cell, flow, places)


def _why_nothing(term: Term, flow: str) -> str:
    """Return why there is nothing to compare a flow with."""
    if term.selection.names_flows:
        return f"no flow that {term.measure} names has it in this cell"
    return f"it is not clear which flow's {term.measure.name} is meant for {flow}: name one, as in flow=…"


def _at(cells: Cells, cell: Cell) -> Iterator[tuple[RunAxis, int]]:
    return zip(cells.axes, cell.places, strict=True)


def _is_itself(term: Term, places: Mapping[Measure, tuple[Cell, str]], subject: Term) -> bool:
    has_selectors = bool(term.selection.axes) or term.selection.names_flows
    return has_selectors and term.is_like(subject) and places[term.measure] == places[subject.measure]


def _options(term: Term, cells: Cells, cell: Cell, flow: str) -> Iterator[tuple[Cell, str]]:
    """Yield the cells and flows for which a term stands in a case of the subject."""
    for where in cells.chosen(cell, term):
        if term.selection.names_flows:
            yield from ((where, who) for who in _flows(term, where))
            continue
        group = where.group(flow)
        kind = None if group is None else where.kinds()[group]
        if isinstance(term.source, Declared) or kind in term.kinds:
            yield where, flow
        else:
            # Where only one flow has it, it is clear which one is meant.
            having = _flows(term, where)
            yield from ((where, who) for who in having if len(having) == 1)


def _algorithms(term: Term) -> frozenset[str] | None:
    """Return the algorithms that have what a term is about; None: all of them."""
    of: frozenset[str] | None = getattr(term.source, "algorithms", None)
    for name in term.selection.during:
        only = STATES[name].algorithms
        of = only if of is None or only is None else of & only
    return of


def _flows(term: Term, cell: Cell) -> list[str]:
    """Return the flows and probes of a cell that a term is about."""
    kinds = cell.kinds()
    names = term.selection.flows
    found = []
    for name in kinds if names is None else names:
        group = cell.group(name)
        if group is None or kinds[group] not in term.kinds:
            continue
        algorithm = cell.algorithm(name)
        of = _algorithms(term)
        wanted = term.selection.algorithms
        if (wanted is None or algorithm in wanted) and (of is None or algorithm in of):
            found.append(name)
    return found
