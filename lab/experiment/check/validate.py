# SPDX-License-Identifier: Apache-2.0
"""Turn a document of plain values into a checked experiment, or report all its problems.  No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from lab.experiment.check.expect import expect_problems, setting_of, syntax_problems
from lab.experiment.check.experiment import check
from lab.experiment.check.known import Lookup, known_problems
from lab.experiment.check.matrix import MAX_TRIALS, CellDocument, MatrixAxis, cells, count, lacks, read_axes
from lab.experiment.check.own_algorithms import own_algorithm_problems
from lab.experiment.check.problems import InvalidExperimentError, Problem, path_text, problems_of
from lab.experiment.check.report import report_problems
from lab.experiment.resolve.parts import MAX_PARTS, parts_of
from lab.experiment.schema.congestion import name_of_value
from lab.experiment.schema.contents import NO_CONTENTS, Contents
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path, blocked
from lab.units import show

__all__ = ["CheckedCell", "CheckedExperiment", "examine", "validate"]


@dataclass(frozen=True)
class CheckedCell:
    """One combination of the matrix's values, and the checked experiment that it makes."""

    document: CellDocument
    experiment: Experiment


@dataclass(frozen=True)
class CheckedExperiment:
    """A valid experiment, and each cell of its matrix."""

    experiment: Experiment
    """The experiment of the document itself; a field that only the matrix sets has the first value of its axis."""
    axes: tuple[MatrixAxis, ...]
    cells: tuple[CheckedCell, ...]
    """The cells of the matrix, in an order in which the last axis varies fastest; one cell if there is no matrix."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """The part ``report`` of the document; empty if there is none."""
    expect: tuple[Any, ...] = ()
    """The part ``expect`` of the document, as written; empty if there is none."""


def validate(document: Mapping[str, Any], contents: Contents = NO_CONTENTS) -> CheckedExperiment:
    """Return the experiment that ``document`` (plain values, as read from YAML) declares.

    Raises:
        InvalidExperimentError: The document has problems; the error contains all that were found.
    """
    checked = examine(document, contents)
    if not isinstance(checked, CheckedExperiment):
        raise InvalidExperimentError(checked)
    return checked


def examine(
    document: Any, contents: Contents = NO_CONTENTS, lookup: Lookup | None = None
) -> CheckedExperiment | list[Problem]:
    """Return the checked experiment, or its problems.

    Problems of single fields and of single values in the matrix are reported first; only if there are none, the cells
    are checked, in which values may be valid one by one but not together.  With *lookup*, the names
    that only the kernel and ``tc`` know are checked as well.
    """
    if not isinstance(document, Mapping):
        return [Problem((), f"found {show(document)}; expected a mapping, with 'name:' and 'topology:'")]
    axes, problems = read_axes(document)
    axes = [axis for axis in axes if not any(blocked(document, path) for path in axis.paths)]
    # A field that an axis sets may be missing elsewhere in the document: the first value of the axis stands in for it.
    filled_in = [axis for axis in axes if lacks(document, axis)]
    base: Mapping[str, Any] = document
    for axis in filled_in:
        base = axis.set(base, axis.values[0])
    experiment, found = _parse(base, contents)
    problems += [problem for problem in found if all(axis.rest_of(problem.path) is None for axis in filled_in)]
    problems += [problem for axis in axes for problem in _value_problems(base, axis, found, experiment, contents)]
    if experiment is not None:
        problems += report_problems(experiment.report, [axis.key for axis in axes])
        problems += syntax_problems(experiment.expect, document.get("expect"))
    if experiment is None or problems:
        return problems
    checked = _checked_cells(document, axes, experiment.repeat, contents, lookup)
    if not isinstance(checked, tuple):
        return checked
    problems = list(own_algorithm_problems(axes, ((cell.document, cell.experiment) for cell in checked)))
    if problems:
        return problems
    axes = [_with_names(axis, contents) for axis in axes]
    checked = tuple(replace(cell, document=_of_axes(cell.document, axes)) for cell in checked)
    if experiment.expect:
        setting = setting_of(((axis.key, axis.values) for axis in axes), (cell.experiment for cell in checked))
        problems = list(expect_problems(experiment.expect, setting, document.get("expect")))
        if problems:
            return problems
    expected = tuple(document.get("expect") or ())
    return CheckedExperiment(experiment, tuple(axes), checked, document.get("report") or {}, expected)


def _with_names(axis: MatrixAxis, contents: Contents) -> MatrixAxis:
    """Return an axis of congestion controls with the names of the user's own in place of the paths of their sources."""
    if any(path[-1] != "cc" for path in axis.paths):
        return axis
    return replace(axis, values=tuple(name_of_value(value, contents) for value in axis.values))


def _of_axes(cell: CellDocument, axes: list[MatrixAxis]) -> CellDocument:
    """Return a cell with the values that *axes* have for it."""
    values = {axis.key: axis.values[index] for axis, index in zip(axes, cell.indices, strict=True)}
    return replace(cell, values=values)


def _parse(document: Mapping[str, Any], contents: Contents) -> tuple[Experiment | None, list[Problem]]:
    """Parse each field by itself; return the experiment, or None and the problems of its fields."""
    try:
        return Experiment.model_validate(document, context={"contents": contents}), []
    except ValidationError as error:
        return None, problems_of(error, document)


def _value_problems(
    base: Mapping[str, Any], axis: MatrixAxis, known: list[Problem], experiment: Experiment | None, contents: Contents
) -> Iterator[Problem]:
    """Yield the problems of each value of an axis by itself, at the value's path in the matrix."""
    # The matrix is left out, because it would be parsed again for each of its own values.
    base = {key: value for key, value in base.items() if key != "matrix"}
    seen: dict[str, Any] = {}
    for index, value in enumerate(axis.values):
        parsed, found = _parse(axis.set(base, value), contents)
        here: Path = ("matrix", axis.key, index)
        reported = set[Problem]()
        for problem in found:
            rest = axis.rest_of(problem.path)
            if rest is None and problem not in known:
                yield Problem(here, f"with {show(value)}, {problem}")
            elif rest is not None and (moved := replace(problem, path=(*here, *rest))) not in reported:
                # A value has the same problem in all fields that a '*' matches; it is reported once.
                reported.add(moved)
                yield moved
        if parsed is None or experiment is None:
            continue
        meaning = repr(parsed)
        if meaning in seen:
            message = f"found {show(value)}, which is the same as {show(seen[meaning])}; expected different values"
            yield Problem(here, message)
        seen.setdefault(meaning, value)


def _checked_cells(
    document: Mapping[str, Any],
    axes: list[MatrixAxis],
    repeat: int,
    contents: Contents,
    lookup: Lookup | None,
) -> tuple[CheckedCell, ...] | list[Problem]:
    trials = count(axes) * repeat
    if trials > MAX_TRIALS:
        place: Path = ("matrix",) if axes else ("repeat",)
        shown = str(trials) if trials < 10**9 else "more than 10^9"
        message = f"found {shown} trials (cells × repetitions); expected at most {MAX_TRIALS}"
        return [Problem(place, message, "key")]
    # A field that has a problem in many cells is reported as one problem.
    broken: dict[Path, list[tuple[CellDocument, Problem]]] = {}
    checked = []
    parts = 0
    for cell in cells(document, axes):
        experiment, found = _parse(cell.document, contents)
        if experiment is not None:
            found = check(experiment) or ([] if lookup is None else list(known_problems(experiment, lookup)))
        for problem in found:
            broken.setdefault(problem.path, []).append((cell, problem))
        if experiment is not None:
            checked.append(CheckedCell(cell, experiment))
        if experiment is not None and not found:
            parts += repeat * parts_of(experiment)
            if parts > MAX_PARTS:
                return [_too_large(axes, trials)]
    if broken:
        return [problem for cases in broken.values() for problem in _blame(axes, cases)]
    return tuple(checked)


def _too_large(axes: list[MatrixAxis], trials: int) -> Problem:
    message = (
        f"found {trials} trials (cells × repetitions) that have more than {MAX_PARTS} nodes, directions of links and "
        "flows in total; expected fewer trials, or smaller networks, because all of them are in memory at the same time"
    )
    return Problem(("matrix",) if axes else ("repeat",), message, "key")


def _blame(axes: list[MatrixAxis], cases: list[tuple[CellDocument, Problem]]) -> Iterator[Problem]:
    """Yield one problem for all invalid cells in which the same field has the problem.

    If the values of one axis cause the problem, it is reported at these values in the matrix; otherwise it is reported
    at the field, with the values of the first invalid cell.
    """
    bad = [sorted({cell.indices[position] for cell, _ in cases}) for position in range(len(axes))]
    # An axis matters if some of its values occur in no invalid cell.
    matters = [position for position, axis in enumerate(axes) if len(bad[position]) < len(axis.values)]
    cell, first = cases[0]
    # The axis that sets the field itself, if there is one.
    setter = next((position for position, axis in enumerate(axes) if axis.rest_of(first.path) is not None), None)
    others = [position for position in matters if position != setter]
    if setter is not None and not others:
        yield from _at_values(axes[setter], setter, bad[setter], cases)
    elif len(matters) == 1:
        yield from _at_values(axes[matters[0]], matters[0], bad[matters[0]], cases)
    elif not matters:
        yield first
    else:
        # Values of several axes cause the problem together.
        values = ", ".join(f"{key} {show(value)}" for key, value in cell.values.items())
        message = f"{first.message}; in the cell with {values}"
        if setter is None:
            yield replace(first, message=message)
        else:
            rest = axes[setter].rest_of(first.path) or ()
            yield replace(first, path=("matrix", axes[setter].key, cell.indices[setter], *rest), message=message)


def _at_values(
    axis: MatrixAxis, position: int, indices: list[int], cases: list[tuple[CellDocument, Problem]]
) -> Iterator[Problem]:
    for index in indices:
        problem = next(problem for cell, problem in cases if cell.indices[position] == index)
        here: Path = ("matrix", axis.key, index)
        rest = axis.rest_of(problem.path)
        if rest is not None:
            yield replace(problem, path=(*here, *rest))
        else:
            yield Problem(here, f"with this value, {path_text(problem.path)}: {problem.message}")
