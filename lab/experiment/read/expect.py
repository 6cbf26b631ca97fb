# SPDX-License-Identifier: Apache-2.0
"""Read the expectations in a file, for a run that there is already; report each mistake with its line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lab.errors import SpecError
from lab.expect.setting import Setting
from lab.experiment.check.expect import expect_problems, syntax_problems
from lab.experiment.check.problems import Problem, problems_of
from lab.experiment.read.document import parse_yaml
from lab.experiment.read.files import decoded, read
from lab.experiment.read.load import Source
from lab.experiment.schema.base import Model
from lab.experiment.schema.expect import Expected
from lab.units import show

__all__ = ["checked_conditions", "load_expectations"]


class _Expectations(Model):
    expect: list[Expected]


def load_expectations(path: Path, setting: Setting) -> list[Any]:
    """Return the expectations in the file *path* as they are written there, checked against *setting*.

    The file may be an experiment; what else it says does not matter.

    Raises:
        SpecError: The file has problems.  The message has one line for each: file, line and column, path of the field,
            what was found, and what is allowed.
    """
    source = Source(path, parse_yaml(decoded(path, read(path))))
    source.stop_at_faults()
    if not isinstance(source.root, dict) or "expect" not in source.root:
        found = "a mapping without 'expect'" if isinstance(source.root, dict) else show(source.root)
        problems = [Problem((), f"found {found}; expected a mapping with 'expect:', a list of conditions")]
    else:
        problems = _problems(source.root["expect"], setting)
    source.lines += [(source.place(problem), str(problem)) for problem in problems]
    source.stop_at_faults()
    found_there: list[Any] = source.root["expect"]
    return found_there


def checked_conditions(conditions: list[str], setting: Setting) -> list[Any]:
    """Return conditions that are not in a file, checked against *setting*.

    Raises:
        SpecError: A condition has a problem.
    """
    problems = _problems(conditions, setting)
    if problems:
        raise SpecError("\n".join(problem.message for problem in problems))
    return list(conditions)


def _problems(written: Any, setting: Setting) -> list[Problem]:
    try:
        expected = _Expectations.model_validate({"expect": written}).expect
    except ValidationError as error:
        return problems_of(error, {"expect": written}, _Expectations)
    return list(syntax_problems(expected, written)) or list(expect_problems(expected, setting, written))
