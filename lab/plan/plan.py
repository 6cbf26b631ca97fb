# SPDX-License-Identifier: Apache-2.0
"""An experiment → its cells and trials, each with a digest.  Pure: the same document always gives the same plan."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.errors import InputError
from lab.experiment.check.validate import CheckedExperiment
from lab.experiment.resolve.job import resolve, trial_seed
from lab.experiment.resolve.sizes import bdp_bytes, frame_bytes
from lab.job.network import mean_burst, mean_loss
from lab.job.protocol import Direction, Job, Link, Loss
from lab.plan.notes import base_rtt_ns, notes_of
from lab.units import format_duration, format_percent, format_rate, format_size, value_text

__all__ = [
    "PLAN_FORMAT",
    "Axis",
    "Cell",
    "Plan",
    "Trial",
    "canonical_json",
    "describe",
    "digest_of",
    "make_plan",
    "notes",
]

PLAN_FORMAT = 1
"""Version of :meth:`Plan.to_json`; another one is refused, never guessed at."""

_MAX_ID = 100
"""Characters in a cell's id: file systems take 255 bytes, and the trial's suffix and temporary names come on top."""

_MAX_PATHS = 8


@dataclass(frozen=True)
class Axis:
    """One varied field."""

    path: str
    """As in the matrix: ``flows.bulk.cc``."""
    label: str
    """The shortest end of the path that tells it from the other axes: ``cc``."""
    values: tuple[Any, ...]
    """As written: texts, numbers, mappings."""


@dataclass(frozen=True)
class Cell:
    """One point of the matrix."""

    id: str
    values: Mapping[str, Any]
    """Axis path → value as written."""
    experiment: Mapping[str, Any]
    """The experiment document with these values in place, and no matrix."""


@dataclass(frozen=True)
class Trial:
    """A cell and one repetition: what an engine runs."""

    id: str
    cell_id: str
    repetition: int
    """From 1."""
    seed: int
    job: Job

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the job, in hexadecimal: the same for the same physics."""
        return digest_of(self.job)


@dataclass(frozen=True)
class Plan:
    """All trials of an experiment, cell by cell, and in each by repetition."""

    name: str
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    title: str = ""
    description: str = ""

    def cell(self, cell_id: str) -> Cell:
        """Return the cell of this id; KeyError if there is none."""
        return self._cells[cell_id]

    @property
    def kernels(self) -> list[str]:
        """The names of the kernels that its trials run on (:mod:`lab.job.kernels`), each once."""
        return list(dict.fromkeys(trial.job["kernel"] for trial in self.trials))

    @cached_property
    def _cells(self) -> dict[str, Cell]:
        return {cell.id: cell for cell in self.cells}

    def to_json(self) -> str:
        """Return the plan as JSON text, the same for the same plan."""
        document = {
            "format": PLAN_FORMAT,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "axes": [{"path": axis.path, "label": axis.label, "values": axis.values} for axis in self.axes],
            "cells": [{"id": cell.id, "values": cell.values, "experiment": cell.experiment} for cell in self.cells],
            "trials": [_trial_document(trial) for trial in self.trials],
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        """Return the plan that :meth:`to_json` wrote; :class:`InputError` if it is of another format or damaged."""
        try:
            document = json.loads(text)
            found = document["format"]
            if found != PLAN_FORMAT:
                raise InputError(f"the plan has format {found!r}; this version reads format {PLAN_FORMAT}")
            return _plan_of(document)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"the plan is damaged: {type(error).__name__}: {error}") from error


def make_plan(checked: CheckedExperiment) -> Plan:
    """Return the plan of a checked experiment (``LoadedExperiment.checked``)."""
    experiment = checked.experiment
    labels = _labels([axis.key for axis in checked.axes])
    ids = _unique(_cell_id(labels, cell.document.values) for cell in checked.cells)
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
    )


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value`` that digests are made of: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(job: Job) -> str:
    """Return the SHA-256 of a job's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(job).encode("ascii")).hexdigest()


def describe(plan: Plan) -> str:
    """Return what the plan comes to, in a few lines of text: trials, path, queues worked out, and what to beware of."""
    repetitions = max(trial.repetition for trial in plan.trials)
    virtual_ns = sum(trial.job["duration_ns"] for trial in plan.trials)
    rows = [("varied", f"{axis.label}: {', '.join(map(value_text, axis.values))}") for axis in plan.axes]
    rows += [
        ("trials", f"{_count(len(plan.cells), 'cell')} × {_count(repetitions, 'repetition')} = {len(plan.trials)}"),
        ("time", f"{format_duration(virtual_ns, 4)} of traffic in all, in virtual time"),
    ]
    rows += _described_paths(plan)
    rows += [("note", note) for note in notes(plan)]
    lines = [f"{plan.name}: {plan.title}" if plan.title else plan.name]
    previous = ""
    for label, text in rows:
        lines.append(f"  {label if label != previous else '':<8} {text}")
        previous = label
    return "\n".join(lines)


def notes(plan: Plan) -> list[str]:
    """Return what is valid in the plan, but cannot mean what it says, or has misled people."""
    # Repetitions differ in their seeds alone.
    jobs = [trial.job for trial in plan.trials if trial.repetition == 1]
    return notes_of(jobs, max(trial.repetition for trial in plan.trials))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _described_paths(plan: Plan) -> list[tuple[str, str]]:
    """Return rows for the path, once for all cells that share it."""
    first_jobs = {trial.cell_id: trial.job for trial in reversed(plan.trials)}
    # Loss that varies is said above, with the axis; it changes nothing that is worked out here.
    with_loss = len({_losses(job) for job in first_jobs.values()}) == 1
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(_path_lines(first_jobs[cell.id], with_loss), []).append(cell)
    rows = []
    for lines, cells in list(groups.items())[:_MAX_PATHS]:
        rows += [("path", f"where {_what_they_share(plan, cells)}:")] if len(groups) > 1 else []
        rows += [("path", line) for line in lines]
    if len(groups) > _MAX_PATHS:
        rows.append(("path", f"and {len(groups) - _MAX_PATHS} more"))
    return rows


def _what_they_share(plan: Plan, cells: list[Cell]) -> str:
    """Return the values of the axes that set ``cells`` apart from the others: ``loss is 0% or 1%``."""
    parts = []
    for axis in plan.axes:
        texts = list(dict.fromkeys(value_text(cell.values[axis.path]) for cell in cells))
        if len(texts) < len(axis.values):
            parts.append(f"{axis.label} is {' or '.join(texts)}")
    return ", ".join(parts)


def _losses(job: Job) -> tuple[float, ...]:
    ways = [way["netem"] for link in job["links"] for way in (link["ab"], link["ba"])]
    return tuple(mean_loss(netem) for netem in ways if mean_loss(netem))


def _path_lines(job: Job, with_loss: bool) -> tuple[str, ...]:
    rtts = sorted({base_rtt_ns(job, flow) for flow in job["flows"]})
    shown = format_duration(rtts[0]) + (f" to {format_duration(rtts[-1])}" if len(rtts) > 1 else "")
    lines = [f"base RTT {shown}, {job['ip'].replace('ip', 'IP')}, MTU {job['mtu']}"]
    # What is alike is said once.
    alike: dict[tuple[str, str], list[Link]] = {}
    for link in job["links"]:
        there, back = (_direction_text(way, rtts[-1], job["mtu"], with_loss) for way in (link["ab"], link["ba"]))
        if there or back:
            alike.setdefault((there, back), []).append(link)
    for (there, back), links in alike.items():
        a, b, more = links[0]["a"], links[0]["b"], f" and {len(links) - 1} more" if len(links) > 1 else ""
        if there == back:
            lines.append(f"{a} ↔ {b}{more}: {there}")
        else:
            lines += [f"{a} → {b}{more}: {there or 'unlimited'}", f"{b} → {a}{more}: {back or 'unlimited'}"]
    return tuple(lines)


def _direction_text(direction: Direction, longest_rtt_ns: int, mtu: int, with_loss: bool) -> str:
    rate_bps, queue, netem = direction["rate_bps"], direction["queue"], direction["netem"]
    parts = []
    if rate_bps is not None:
        parts.append(format_rate(rate_bps, 4) + (" in the mean (trace)" if direction["trace"] else ""))
    if direction["lost_packets"]:
        parts.append(f"{_count(len(direction['lost_packets']), 'packet')} lost by number")
    if netem is not None and netem["delay_ns"]:
        parts.append(f"delay {format_duration(netem['delay_ns'])}")
    if netem is not None and netem["jitter"]:
        parts.append(f"jitter {format_duration(netem['jitter']['spread_ns'])}")
    if netem is not None and netem["loss"] and with_loss:
        parts.append(f"loss {_loss_text(netem['loss'], mean_loss(netem))}")
    if netem is not None:
        parts += [f"{name} {format_percent(netem[name])}" for name in ("duplicate", "corrupt") if netem[name]]
    if netem is not None and netem["reorder"]:
        parts.append(f"reorder {format_percent(netem['reorder']['probability'])}")
    if rate_bps is not None and queue is not None:
        packets = queue["limit_packets"]
        held = queue["limit_bytes"] or (packets or 0) * frame_bytes(mtu)
        limit = format_size(held) if packets is None else _count(packets, "packet")
        bdp = bdp_bytes(rate_bps, longest_rtt_ns)
        size = f" of {limit}" + (f" ({held / bdp:.3g} BDP)" if bdp else "") if held else ""
        parts.append(f"{queue['discipline']}{size}")
    if direction["changes"]:
        parts.append(_count(len(direction["changes"]), "change"))
    return ", ".join(parts)


def _loss_text(loss: Loss, mean: float) -> str:
    if loss["model"] == "random":
        return format_percent(mean)
    return f"{format_percent(mean, 3)} in the mean, {mean_burst(loss):.3g} in a row ({loss['model']})"


def _labels(paths: list[str]) -> dict[str, str]:
    """Return for each path the shortest end that no other path has."""
    labels = {}
    for path in paths:
        parts = path.split(".")
        ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        others = [f".{other}" for other in paths if other != path]
        labels[path] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), path)
    return labels


def _slug(text: str) -> str:
    small = text.lower().replace("%", "pct")
    return re.sub(r"[^a-z0-9._]+", "-", small).strip("-.")


def _cell_id(labels: Mapping[str, str], values: Mapping[str, Any]) -> str:
    parts = []
    for path, value in values.items():
        label = labels[path]
        # `cubic` says what it is; `0.1pct` and `true` do not.
        parts += [value_text(value)] if label == "cc" else [label.replace(".", "-"), value_text(value)]
    slug = "-".join(filter(None, map(_slug, parts))) or "base"
    if len(slug) > _MAX_ID:
        slug = f"{slug[: _MAX_ID - 9]}-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    return slug


def _unique(slugs: Iterable[str]) -> list[str]:
    """Return the slugs, those that occurred before with a number that makes them differ."""
    taken: dict[str, None] = {}
    for slug in slugs:
        number, candidate = 1, slug
        while candidate in taken:
            number += 1
            candidate = f"{slug}-{number}"
        taken[candidate] = None
    return list(taken)


def _trial_document(trial: Trial) -> dict[str, Any]:
    return {
        "id": trial.id,
        "cell": trial.cell_id,
        "repetition": trial.repetition,
        "seed": trial.seed,
        "digest": trial.digest,
        "job": trial.job,
    }


def _plan_of(document: Mapping[str, Any]) -> Plan:
    trials = []
    for item in document["trials"]:
        trial = Trial(item["id"], item["cell"], item["repetition"], item["seed"], item["job"])
        if trial.digest != item["digest"]:
            raise InputError(f"the plan is damaged: the job of trial {trial.id} does not match its digest")
        trials.append(trial)
    return Plan(
        name=document["name"],
        axes=tuple(Axis(item["path"], item["label"], tuple(item["values"])) for item in document["axes"]),
        cells=tuple(Cell(item["id"], item["values"], item["experiment"]) for item in document["cells"]),
        trials=tuple(trials),
        title=document["title"],
        description=document["description"],
    )
