# SPDX-License-Identifier: Apache-2.0
"""Turn a checked experiment into a plan: its cells and trials, each trial with a digest.

This module does no I/O; the same experiment always gives the same plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NotRequired, TypedDict

from lab.errors import InputError, StoreError
from lab.experiment.check.validate import CheckedExperiment
from lab.experiment.resolve.job import resolve, trial_seed
from lab.experiment.schema.collect import Collect
from lab.job.protocol import Job
from lab.plan import names
from lab.store.digest import canonical_json, digest_of
from lab.store.files import check_name
from lab.store.shape import check_shape, shown
from lab.store.stored_job import check_job

__all__ = [
    "PLAN_FORMAT",
    "Axis",
    "Cell",
    "Plan",
    "Trial",
    "canonical_json",
    "digest_of",
    "make_plan",
]

PLAN_FORMAT = 2
"""The version of the text that :meth:`Plan.to_json` returns; texts of other versions are refused."""


@dataclass(frozen=True)
class Axis:
    """One axis of the matrix: a field that differs between cells."""

    path: str
    """The path of the field as written in the matrix, such as ``flows.bulk.cc``."""
    label: str
    """The shortest trailing part of the path that distinguishes it from the other axes, such as ``cc``."""
    values: tuple[Any, ...]
    """The values as written in the file: texts, numbers or mappings."""


@dataclass(frozen=True)
class Cell:
    """One combination of the matrix's values."""

    id: str
    values: Mapping[str, Any]
    """Path of an axis → value as written in the file."""
    experiment: Mapping[str, Any]
    """The experiment document with these values set, and without the matrix."""


@dataclass(frozen=True)
class Trial:
    """One repetition of a cell: the unit that an engine runs."""

    id: str
    cell_id: str
    repetition: int
    """The number of the repetition, counted from 1."""
    seed: int
    job: Job

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the job, in hexadecimal; trials with the same job have the same digest."""
        return digest_of(self.job)


@dataclass(frozen=True)
class Plan:
    """All trials of an experiment, sorted by cell and, in each cell, by repetition."""

    name: str
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    title: str = ""
    description: str = ""
    engine: str = "vm"
    """The name of the engine that the experiment asks for."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the experiment asks for in its report, as written in the file; it has no effect on trials."""
    expect: tuple[Any, ...] = ()
    """The expectations of the experiment, as written in the file; they have no effect on trials."""

    def cell(self, cell_id: str) -> Cell:
        """Return the cell with this id.

        Raises:
            KeyError: There is no such cell.
        """
        return self._cells[cell_id]

    @property
    def kernels(self) -> list[str]:
        """The names (:mod:`lab.job.kernels`) of the kernels that the trials run on, without duplicates."""
        return list(dict.fromkeys(trial.job["kernel"] for trial in self.trials))

    @cached_property
    def _cells(self) -> dict[str, Cell]:
        return {cell.id: cell for cell in self.cells}

    def to_json(self) -> str:
        """Return the plan as JSON text; equal plans give the same text."""
        return json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n"

    def document(self) -> dict[str, Any]:
        """Return what :meth:`to_json` writes.  It shares its parts with the plan and must not be changed."""
        return {
            "format": PLAN_FORMAT,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "engine": self.engine,
            "axes": [{"path": axis.path, "label": axis.label, "values": axis.values} for axis in self.axes],
            "cells": [{"id": cell.id, "values": cell.values, "experiment": cell.experiment} for cell in self.cells],
            "trials": [_trial_document(trial) for trial in self.trials],
            **({"report": self.report} if self.report else {}),
            **({"expect": list(self.expect)} if self.expect else {}),
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        """Return the plan from a text that :meth:`to_json` returned.

        Raises:
            InputError: The text has another format version, or it is damaged.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"the plan is damaged: {error}") from error
        found = document.get("format", PLAN_FORMAT) if isinstance(document, dict) else PLAN_FORMAT
        if found != PLAN_FORMAT:
            raise InputError(f"the plan has format {shown(found)}; this version reads format {PLAN_FORMAT}")
        try:
            check_shape(document, _PlanDocument, "the plan")
            return _plan_of(document)
        except StoreError as error:
            raise InputError(str(error)) from error


def make_plan(checked: CheckedExperiment) -> Plan:
    """Return the plan of a checked experiment, such as ``LoadedExperiment.checked``."""
    experiment = checked.experiment
    labels = names.axis_labels([axis.key for axis in checked.axes])
    ids = names.unique(names.cell_id(labels, cell.document.values) for cell in checked.cells)
    seeds = [trial_seed(experiment.seed, repetition) for repetition in range(1, experiment.repeat + 1)]
    cells, trials = [], []
    for cell_id, cell in zip(ids, checked.cells, strict=True):
        cells.append(Cell(cell_id, cell.document.values, cell.document.document))
        for repetition, seed in enumerate(seeds, start=1):
            job = resolve(cell.experiment, seed)
            trials.append(Trial(f"{cell_id}-r{repetition}", cell_id, repetition, seed, job))
    return Plan(
        name=experiment.name,
        axes=tuple(Axis(axis.key, labels[axis.key], axis.values) for axis in checked.axes),
        cells=tuple(cells),
        trials=tuple(trials),
        title=experiment.title,
        description=experiment.description,
        engine=experiment.engine,
        report=checked.report,
        expect=checked.expect,
    )


def _trial_document(trial: Trial) -> dict[str, Any]:
    return {
        "id": trial.id,
        "cell": trial.cell_id,
        "repetition": trial.repetition,
        "seed": trial.seed,
        "digest": trial.digest,
        "job": trial.job,
    }


class _AxisDocument(TypedDict):
    path: str
    label: str
    values: list[Any]


class _CellDocument(TypedDict):
    id: str
    values: dict[str, Any]
    experiment: dict[str, Any]


class _TrialDocument(TypedDict):
    id: str
    cell: str
    repetition: int
    seed: int
    digest: str
    job: object


class _PlanDocument(TypedDict):
    """What :meth:`Plan.to_json` writes."""

    format: int
    name: str
    title: str
    description: str
    engine: NotRequired[str]
    axes: list[_AxisDocument]
    cells: list[_CellDocument]
    trials: list[_TrialDocument]
    report: NotRequired[dict[str, Any]]
    expect: NotRequired[list[Any]]


def _plan_of(document: Mapping[str, Any]) -> Plan:
    cells = {check_name(cell["id"], "the plan is damaged: cell") for cell in document["cells"]}
    trials = []
    for number, item in enumerate(document["trials"]):
        here = ("trials", number)
        check_name(item["id"], "the plan is damaged: trial")
        if item["cell"] not in cells:
            raise InputError(f"the plan is damaged: trial {item['id']} is of the unknown cell {shown(item['cell'])}")
        job = check_job(item["job"], "the plan", (*here, "job"))
        unknown = sorted(job["collectors"].keys() - Collect.model_fields.keys())
        if unknown:
            raise InputError(f"the plan is damaged: trial {item['id']} has the unknown collector {unknown[0]}")
        trial = Trial(item["id"], item["cell"], item["repetition"], item["seed"], job)
        if trial.digest != item["digest"]:
            raise InputError(f"the plan is damaged: the job of trial {trial.id} does not match its digest")
        trials.append(trial)
    if not trials or len({trial.id for trial in trials}) < len(trials):
        raise InputError("the plan is damaged: it has no trial, or two of the same name")
    return Plan(
        name=check_name(document["name"], "the plan is damaged: experiment"),
        axes=tuple(Axis(item["path"], item["label"], tuple(item["values"])) for item in document["axes"]),
        cells=tuple(Cell(item["id"], item["values"], item["experiment"]) for item in document["cells"]),
        trials=tuple(trials),
        title=document["title"],
        description=document["description"],
        engine=document.get("engine", "vm"),  # Earlier versions did not store it.
        report=document.get("report", {}),
        expect=tuple(document.get("expect", ())),
    )
