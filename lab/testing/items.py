# SPDX-License-Identifier: Apache-2.0
"""Experiments as tests: a file of them, and a test for each expectation."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.api.building import overrides_of
from lab.api.engines import all_overrides
from lab.errors import LabError
from lab.evaluation.expectations.document import ExpectationDocument
from lab.evaluation.expectations.judge import Entry, entries_of
from lab.experiment.read.load import load_experiment
from lab.testing.runs import runs_of

__all__ = ["ExpectationItem", "ExperimentFile"]

_MOST_CASES = 12
"""The number of cases that the message of a failed test has."""

_FIGURES = (
    ("goodput", ("goodput", "share", "utilisation", "link.")),
    (
        "cwnd",
        ("cwnd", "ssthresh", "decrease", "mode", "gain", "reduction", "window", "slow_start", "state", "bandwidth"),
    ),
    ("srtt", ("rtt",)),
    ("queue", ("queue", "drop", "mark")),
    ("jain", ("jain", "convergence")),
    ("completions", ("fct", "slowdown")),
    ("latency", ("latency",)),
)
"""The start of the name of a figure of the report → words in a condition that it shows."""


class NotMetError(Exception):
    """An expectation is not met, or cannot be judged."""

    def __init__(self, found: ExpectationDocument, run: Path) -> None:
        super().__init__(found["sentence"])
        self.found = found
        self.run = run


class ExperimentFile(pytest.File):
    """An experiment that expects something."""

    def collect(self) -> Iterator[ExpectationItem]:
        """Yield a test for each expectation.

        Raises:
            pytest.Collector.CollectError: The experiment has problems; the message has the line of each.
        """
        try:
            options = runs_of(self.config).options
            loaded = load_experiment(self.path, all_overrides(overrides_of(options.overrides), options.engine))
        except LabError as error:
            raise self.CollectError(str(error)) from error
        for number, entry in enumerate(entries_of({"expect": list(loaded.checked.expect)}, str(self.path))):
            item = ExpectationItem.from_parent(self, name=entry.title, number=number, entry=entry)
            # With --dist loadgroup, one worker has all tests of an experiment.  Otherwise the others wait for the run.
            if self.config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group(f"lab:{self.path}"))
            yield item


class ExpectationItem(pytest.Item):
    """One expectation of an experiment."""

    def __init__(self, *, number: int, entry: Entry, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number
        self.entry = entry

    def runtest(self) -> None:
        """Run the experiment unless that has been done, and look at this expectation.

        Raises:
            LabError: The experiment cannot be run.
            NotMetError: The expectation is not met, or cannot be judged.
        """
        run = runs_of(self.config).loaded(self.path, {}, None)
        document = json.loads((run.path / "report" / "expectations.json").read_text(encoding="utf-8"))
        found: ExpectationDocument = document["expectations"][self.number]
        self.user_properties += _properties(found, run.path)
        if found["verdict"] != "met":
            raise NotMetError(found, run.path)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what was observed against what was expected, and where to look closer."""
        if isinstance(excinfo.value, NotMetError):
            return _message(excinfo.value)
        if isinstance(excinfo.value, LabError):
            return f"{self.path}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the test is, and what it is called."""
        return self.path, None, f"{self.path.name}: {self.entry.title}"


def _properties(found: ExpectationDocument, run: Path) -> list[tuple[str, object]]:
    """Return what a JUnit file says of an expectation."""
    texts = {"that": found["that"], "verdict": found["verdict"], "source": found["source"], "run": str(run)}
    if found["cases"]:
        case = found["cases"][0]
        texts |= {"observed": case["observed"], "interval": case["interval"], "expected": case["expected"]}
        texts |= {"margin": case["margin"], "cell": ", ".join(" ".join(pair) for pair in case["cell"].items())}
    return [(f"lab_{name}", value) for name, value in texts.items() if value]


def _message(missed: NotMetError) -> str:
    found, run = missed.found, missed.run
    lines = [found["that"], f"  {found['verdict']}: {found['sentence']}"]
    lines += [f"  {name}: {text}" for name in ("because", "source", "tolerance") if (text := found[name])]
    if len(found["cases"]) > 1:
        lines += ["", "  cases, the worst first:"]
        for case in found["cases"][:_MOST_CASES]:
            where = ", ".join([*(" ".join(pair) for pair in case["cell"].items()), case["flow"]])
            what = case["reason"] or f"{case['observed']}, expected {case['expected']}, margin {case['margin']}"
            lines.append(f"    {case['verdict']}: {where}: {what}")
        if (more := len(found["cases"]) - _MOST_CASES) > 0:
            lines.append(f"    and {more} more")
    lines.append("")
    if (figure := _figure(run, found["that"])) is not None:
        lines.append(f"figure: {figure}")
    lines.append(f"report: {run / 'report' / 'index.html'}")
    lines.append(f"look closer: lab expect {shlex.quote(str(run))} --that {shlex.quote(found['that'])}")
    return "\n".join(lines)


def _figure(run: Path, that: str) -> Path | None:
    """Return the figure of the report that shows what a condition is about; None if there is none."""
    names = sorted(path for path in (run / "report" / "figures").glob("*.png"))
    for start, words in _FIGURES:
        if any(word in that for word in words):
            fitting = [path for path in names if path.stem.startswith(start)]
            if fitting:
                return fitting[0]
    return None
