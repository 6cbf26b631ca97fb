# SPDX-License-Identifier: Apache-2.0
"""Read a file that lists the figures of a paper; report each mistake with its line and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lab.experiment.check.problems import Problem, problems_of, unknown
from lab.experiment.read.document import parse_yaml
from lab.experiment.read.files import decoded, read
from lab.experiment.read.load import Source
from lab.experiment.schema.paper import Paper
from lab.units import show

__all__ = ["load_paper"]


def load_paper(path: Path) -> Paper:
    """Read the list of figures at *path*.

    Raises:
        SpecError: The file has problems.  The message has one line for each: file, line and column, path of the field,
            what was found, and what is allowed.
    """
    source = Source(path, parse_yaml(decoded(path, read(path))))
    source.stop_at_faults()
    problems: list[Problem] = []
    paper = None
    if not isinstance(source.root, dict):
        problems.append(Problem((), f"found {show(source.root)}; expected a mapping, with 'runs:' and 'figures:'"))
    else:
        try:
            paper = Paper.model_validate(source.root)
            problems += _between(paper)
        except ValidationError as error:
            problems += problems_of(error, source.root, Paper)
    source.lines += [(source.place(problem), str(problem)) for problem in problems]
    source.stop_at_faults()
    assert paper is not None
    return paper


def _between(paper: Paper) -> Iterator[Problem]:
    """Yield the problems between fields."""
    for name, run in paper.runs.items():
        if (run.folder is None) == (run.experiment is None):
            found = "neither 'folder' nor 'experiment'" if run.folder is None else "both 'folder' and 'experiment'"
            yield Problem(("runs", name), f"found {found}; expected one of them", "key")
        elif run.folder is not None and run.overrides:
            message = "found 'set' for the folder of a run; expected it with 'experiment' only, which can still be run"
            yield Problem(("runs", name, "set"), message, "key")
    for name, figure in paper.figures.items():
        if figure.run not in paper.runs:
            yield Problem(("figures", name, "run"), unknown("run", figure.run, list(paper.runs), plural="runs"))
        if (figure.figure is None) == (figure.name is None):
            found = "neither 'figure' nor 'name'" if figure.figure is None else "both 'figure' and 'name'"
            yield Problem(("figures", name), f"found {found}; expected one of them", "key")
