# SPDX-License-Identifier: Apache-2.0
"""Baselines: small files, made to be committed, that keep of a run what later runs are compared with.

A baseline is JSON with sorted keys.  A cell's trials and each of its metrics have a line of their own, so that the
difference between two versions of a file shows what has changed::

    format       the version of the format
    experiment   the name of the experiment, and run, the id of the run
    environment  that on which results depend: kernel, engine, image, agent, BPF programs, versions
    fields       path of each field of the experiment → the values that it has in the cells
    probes       the names of the latency probes
    tolerances   the relative change that is none: for all metrics (``default``), and for single ones
    cells        values on the axes; each trial's seed, digest and verdict; the metrics of each group of flows, with a
                 value for each repetition
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from lab.compare.cells import Cell, Place, RunCells, TrialState, TrialVerdict, Value, run_cells
from lab.compare.inputs import environment, fields_of
from lab.compare.tolerances import DEFAULT, Tolerances
from lab.errors import InputError, StoreError
from lab.report.tables.columns import COLUMNS, Column, ProbeColumn, columns_of_probe
from lab.store.files import check_name, read_json, write_file
from lab.store.shape import check_shape, shown

FORMAT = 1
"""The version of the files that :func:`write_baseline` writes; others are refused."""

SUFFIX = ".json"
"""The end of a baseline's name, which tells it from the folder of a run."""

_MOST_BYTES = 64 << 20
_DIGITS = 12
"""Significant digits of the values: far more than any comparison needs, and fewer than rounding errors reach."""


class _Trial(TypedDict):
    repetition: int
    seed: int
    digest: str
    verdict: TrialVerdict


class _Flows(TypedDict):
    flow: str
    algorithm: str
    repetitions: list[int]
    metrics: dict[str, list[float | None]]


class _Cell(TypedDict):
    cell: dict[str, str]
    trials: list[_Trial]
    flows: list[_Flows]


class _Document(TypedDict):
    format: int
    experiment: str
    run: str
    environment: dict[str, str]
    fields: dict[str, list[str]]
    probes: list[str]
    tolerances: dict[str, float]
    cells: list[_Cell]


def is_baseline(path: Path) -> bool:
    """Return whether *path* is a file, and therefore no run."""
    return path.is_file() or (path.suffix == SUFFIX and not path.is_dir())


def cells_of(path: Path) -> RunCells:
    """Return the metrics of a run, or those that a baseline keeps.

    Raises:
        InputError: *path* is neither the folder of a run nor a baseline of this format.
        StoreError: A trial of the run is damaged.
    """
    return read_baseline(path) if is_baseline(path) else run_cells(path)


def reference_first(runs: Iterable[RunCells]) -> list[RunCells]:
    """Return *runs* with the first baseline, if there is one, in front: it is what the others are compared with."""
    return sorted(runs, key=lambda run: not run.is_baseline)


def write_baseline(run: RunCells, path: Path, tolerances: Tolerances) -> None:
    """Write the baseline of *run* to *path*; its folder is made if it is not there.

    Raises:
        StoreError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, baseline_text(run, tolerances).encode())


def baseline_text(run: RunCells, tolerances: Tolerances) -> str:
    """Return the text of the baseline of *run*; equal results give the same text."""
    assert run.run is not None
    document: _Document = {
        "format": FORMAT,
        "experiment": run.run.experiment,
        "run": run.run.id,
        "environment": dict(sorted(environment(run.provenance).items())),
        "fields": {path: list(values) for path, values in sorted(fields_of(run).items())},
        "probes": sorted({column.probe for column in run.columns.values() if isinstance(column, ProbeColumn)}),
        "tolerances": tolerances.document(),
        "cells": [_cell(run, cell, trials) for cell, trials in run.cells().items()],
    }
    return _written(document, "") + "\n"


def _cell(run: RunCells, cell: Cell, trials: Mapping[int, TrialState]) -> _Cell:
    return {
        "cell": dict(cell),
        "trials": [
            {"repetition": number, "seed": trial.seed, "digest": trial.digest, "verdict": trial.verdict}
            for number, trial in sorted(trials.items())
        ],
        "flows": [_flows(place, metrics) for place, metrics in run.values.items() if place[:-2] == cell],
    }


def _flows(place: Place, metrics: Mapping[str, Mapping[int, Value]]) -> _Flows:
    numbers = sorted({number for values in metrics.values() for number in values})
    return {
        "flow": place[-2][1],
        "algorithm": place[-1][1],
        "repetitions": numbers,
        "metrics": {
            key: [float(f"{values[number].value:.{_DIGITS}g}") if number in values else None for number in numbers]
            for key, values in sorted(metrics.items())
        },
    }


def _written(value: Any, indent: str) -> str:
    """Return a value as JSON in which whatever contains no other list or object has a line of its own."""
    items = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []
    if all(not isinstance(item, Mapping | list) for item in items) and not (
        isinstance(value, Mapping) and _is_long(value)
    ):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    if isinstance(value, Mapping):
        lines = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_written(item, inner)}" for key, item in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(f"{inner}{_written(item, inner)}" for item in items) + f"\n{indent}]"


def _is_long(value: Mapping[str, Any]) -> bool:
    return len(json.dumps(value)) > 150 and "digest" not in value


def read_baseline(path: Path) -> RunCells:
    """Return what the file with a baseline keeps of a run.

    Raises:
        InputError: It cannot be read, has another format, or is damaged.
    """
    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise InputError(
                f"{path}: found more than {_MOST_BYTES >> 20} MiB; expected a baseline, as `lab baseline` writes"
            )
        document = _parsed(path)
        found = document.get("format") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not {"format", "environment", "cells"} <= document.keys():
            raise InputError(f"{path} is no baseline; expected a file that `lab baseline` has written")
        if found != FORMAT:
            raise InputError(
                f"{path}: found a baseline of format {shown(found)}; this version reads format {FORMAT}: write the "
                "baseline anew with `lab baseline`, or use the version of lab that wrote it"
            )
        check_shape(document, _Document, str(path))
        return _cells(path, cast(_Document, document))
    except StoreError as error:
        raise InputError(str(error)) from error


def _parsed(path: Path) -> Any:
    try:
        return read_json(path)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise
        raise InputError(f"{path} is no baseline; expected a file that `lab baseline` has written: {error}") from error


def _cells(path: Path, document: _Document) -> RunCells:
    known: dict[str, Column] = {column.key: column for column in COLUMNS}
    for probe in document["probes"]:
        known |= {column.key: column for column in columns_of_probe(probe)}
    trials: dict[Cell, dict[int, TrialState]] = {}
    values: dict[Place, dict[str, dict[int, Value]]] = {}
    unknown: set[str] = set()
    for number, item in enumerate(document["cells"]):
        cell = tuple(item["cell"].items())
        if cell in trials:
            raise InputError(f"{path} is damaged: cells[{number}] is there twice")
        own = trials[cell] = {
            trial["repetition"]: TrialState(trial["seed"], trial["digest"], trial["verdict"])
            for trial in item["trials"]
        }
        for flows in item["flows"]:
            place = (*cell, ("flow", flows["flow"]), ("algorithm", flows["algorithm"]))
            for key, numbers in flows["metrics"].items():
                if len(numbers) != len(flows["repetitions"]) or not own.keys() >= set(flows["repetitions"]):
                    raise InputError(
                        f"{path} is damaged: cells[{number}] has {key} of other repetitions than its trials"
                    )
                if key not in known:
                    unknown.add(key)
                    continue
                values.setdefault(place, {})[key] = {
                    repetition: Value(value, own[repetition].seed, own[repetition].digest)
                    for repetition, value in zip(flows["repetitions"], numbers, strict=True)
                    if value is not None
                }
    for key, tolerance in document["tolerances"].items():
        if not 0 <= tolerance <= 1 or key not in (DEFAULT, *known):
            raise InputError(
                f"{path}: tolerances: found {key}: {tolerance}; expected {DEFAULT} or the key of a metric, and a share "
                "from 0 to 1"
            )
    remarks = (f"this version does not know {', '.join(sorted(unknown))} of {path}",) if unknown else ()
    return RunCells(
        run=None,
        values=values,
        columns={key: column for key, column in known.items() if any(key in metrics for metrics in values.values())},
        provenance=document["environment"],
        plan={},
        left_out=sum(trial.verdict == "invalid" for own in trials.values() for trial in own.values()),
        trials=trials,
        fields=document["fields"],
        title=str(path),
        origin=check_name(document["run"], "run"),
        of_experiment=check_name(document["experiment"], "experiment"),
        tolerances=document["tolerances"],
        remarks=remarks,
    )
