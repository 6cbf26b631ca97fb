# SPDX-License-Identifier: Apache-2.0
"""Exit codes and the errors behind them, from :mod:`lab.errors`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from lab import errors as lab_errors

from . import markdown_table, sentences

TEXTS = {
    "EXIT_OK": "Everything went well.",
    "EXIT_EXPECTATION_FAILED": "An expectation was not met: one of the experiment's own (`expect`) is not met, or "
    "cannot be judged; a trial of `lab run` is invalid, or virtual machines did not confirm its results "
    "(`--confirm vm`); `lab compare` or `lab run --baseline` found a cell that is worse, missing, new or invalid; "
    "`lab bisect` did not find exactly one kernel; `lab site` brought together a run that did not go well; a "
    "submission has fewer points than `lab grade --min-points` asks for; or `lab verify` or `lab reproduce` found "
    "something that is not as it was stored, came out differently or cannot be compared.",
    "EXIT_BAD_INPUT": "The input is wrong: the command line, the experiment file, or the folder of a run.",
    "EXIT_FAILED": "A trial failed, or the machine lacks something. The other trials are kept.",
    "EXIT_INTERRUPTED": "Interrupted by Ctrl-C or SIGTERM. What is finished is kept.",
}


def table(_what: str) -> str:
    codes = {name: value for name, value in vars(lab_errors).items() if name.startswith("EXIT_")}
    missing = codes.keys() ^ TEXTS.keys()
    if missing:
        raise SystemExit(f"docs/generators/exit_codes.py and lab/errors.py differ in {', '.join(sorted(missing))}")
    rows = [(str(value), TEXTS[name]) for name, value in sorted(codes.items(), key=lambda code: code[1])]
    return markdown_table(("Exit code", "Meaning"), rows)


def errors(_what: str) -> str:
    """The classes of errors that a trial's record or a message may name, with the exit code of each."""
    rows = []
    for cls in _subclasses(lab_errors.LabError):
        first = sentences(inspect.getdoc(cls) or "").partition(". ")[0].rstrip(".") + "."
        rows.append((f"`{cls.__name__}`", str(cls.exit_code), first))
    return markdown_table(("Error", "Exit code", "What happened"), rows)


def _subclasses(cls: type[lab_errors.LabError]) -> Iterator[type[lab_errors.LabError]]:
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)
