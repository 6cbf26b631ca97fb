# SPDX-License-Identifier: Apache-2.0
"""The commands ``lab figure`` and ``lab paper``, on captured records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cli.results.figures import KINDS
from lab.engine.base import Engine
from lab.engine.replay import ReplayEngine
from lab.experiment.schema.paper import Style, Width
from lab.experiment.schema.report import FIGURE_KINDS
from lab.report.figures.file import STYLES
from lab.report.figures.look.sizes import WIDTHS
from lab.store.run import Run
from tests.data.capture import EXPERIMENTS, RECORDS
from tests.unit.cli.conftest import Changing, Lab
from tests.unit.cli.test_verdict import another_mtu


@pytest.fixture
def run(replayed: Callable[[str], Run]) -> Path:
    """A finished run, which commands for figures only read."""
    return replayed("loss").path


def test_one_figure_of_a_run(run: Path, lab_command: Lab) -> None:
    said = lab_command("figure", run, "--kind", "against", "--x", "loss", "--y", "srtt", "-o", "out/a.svg")
    assert (said.code, said.lines) == (0, ["out/a.svg"])
    assert Path("out/a.svg").read_text().startswith("<?xml")
    said = lab_command("figure", run, "--name", "cwnd", "--style", "mono", "--width", "acm")
    assert (said.code, said.lines) == (0, ["figure.pdf"])
    said = lab_command("figure", run, "--kind", "cells", "--y", "srtt", "--y", "retransmitted", "-o", "b.png")
    assert said.code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "found neither --kind nor --name"),
        ("--kind time --name cwnd", "found both --kind and --name"),
        ("--kind tim", "--kind: found 'tim'; expected one of time"),
        ("--kind time --y cwmd", "--y: found 'cwmd'; expected 'cwnd'"),
        ("--kind time --y cwnd --y srtt", "found --y 2 times"),
        ("--kind against --x los", "x: found 'los'; expected an axis of the matrix"),
        ("--kind time --z goodput", "unknown field 'z'"),
        ("--name cwnd --x loss", "found --x with --name"),
        ("--name cwn", "did you mean 'cwnd'"),
        ("--kind time -o a.bmp", "expected a name that ends in"),
        ("--kind time --width letter", "--width: found 'letter'"),
        ("--kind cdf --y latency", "it needs probes"),
    ],
)
def test_mistakes_are_exit_code_2(options: str, message: str, run: Path, lab_command: Lab) -> None:
    said = lab_command("figure", run, *options.split())
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err


def test_a_paper_runs_what_is_missing_and_no_more(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    shutil.copy(EXPERIMENTS / "loss.yaml", tmp_path / "loss.yaml")
    (tmp_path / "paper.yaml").write_text(
        """
runs:
  loss: {experiment: loss.yaml}
formats: [pdf, svg]
figures:
  first: {run: loss, figure: {kind: against, x: loss}}
  second: {run: loss, name: cwnd, width: acm-double, style: mono}
"""
    )
    said = lab_command("paper", "paper.yaml")
    assert said.code == 0, said.err
    assert said.lines == [f"figures/{name}.{suffix}" for name in ("first", "second") for suffix in ("pdf", "svg")]
    assert "has not been run" in said.err
    before = {path: Path(path).read_bytes() for path in said.lines}
    again = lab_command("paper", "paper.yaml")
    assert "has not been run" not in again.err
    assert {path: Path(path).read_bytes() for path in again.lines} == before
    assert len(list((tmp_path / "results" / "loss").glob("2*"))) == 1


def test_a_paper_with_invalid_trials_is_finished_and_names_them(
    engines: list[Engine], lab_command: Lab, tmp_path: Path
) -> None:
    engines[:] = [Changing(another_mtu), ReplayEngine(RECORDS)]
    for name in ("udp", "loss"):
        shutil.copy(EXPERIMENTS / f"{name}.yaml", tmp_path / f"{name}.yaml")
    (tmp_path / "paper.yaml").write_text(
        """
runs:
  bad: {experiment: udp.yaml}
  good: {experiment: loss.yaml}
figures:
  first: {run: bad, name: topology}
  second: {run: good, name: topology}
"""
    )
    # The second time, both runs are there, and the answer is the same.
    for _again in range(2):
        said = lab_command("paper", "paper.yaml", "-q")
        assert said.code == 1
        assert said.lines == ["figures/first.pdf", "figures/second.pdf"]
        (line,) = (line for line in said.err.splitlines() if line.startswith("lab: run "))
        assert line.startswith(
            "lab: run bad: 2 of 4 trials are invalid and did not measure what the experiment asks for: "
            "queue-pfifo-20p-r1 and queue-"
        )


def test_a_paper_with_failed_trials_draws_the_figures_of_the_other_runs(
    engines: list[Engine], lab_command: Lab, tmp_path: Path
) -> None:
    for name in ("failed", "loss"):
        shutil.copy(EXPERIMENTS / f"{name}.yaml", tmp_path / f"{name}.yaml")
    (tmp_path / "paper.yaml").write_text(
        """
runs:
  bad: {experiment: failed.yaml}
  good: {experiment: loss.yaml}
figures:
  first: {run: bad, name: topology}
  second: {run: good, name: topology}
"""
    )
    said = lab_command("paper", "paper.yaml", "-q")
    assert (said.code, said.lines) == (3, ["figures/second.pdf"])
    assert "lab: the figure first is not drawn: trials of the run bad failed; see " in said.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "figures: {a: {run: x, name: cwnd}}\nruns: {y: {folder: z}}",
            "1:20: figures.a.run: unknown run 'x'",
        ),
        (
            "figures: {a: {run: y}}\nruns: {y: {folder: z}}",
            "1:11: figures.a: found neither 'figure' nor 'name'",
        ),
        ("figures: {a: {run: y, name: b}}\nruns: {y: {}}", "paper.yaml:2:8: runs.y: found neither 'folder' nor"),
        (
            "figures: {a: {run: y, name: b}}\nruns: {y: {folder: z, set: [a=b]}}",
            "found 'set' for the folder",
        ),
        ("figures: {a: {run: y, figure: {kind: tim}}}\nruns: {y: {folder: z}}", "figures.a.figure.kind: found 'tim'"),
        ("figure: {}\nruns: {y: {folder: z}}", "unknown field 'figure'; did you mean 'figures'"),
        ("style: pape\nfigures: {a: {run: y, name: b}}\nruns: {y: {folder: z}}", "did you mean 'paper'"),
        ("- a", "expected a mapping"),
        ("figures: {a: {run: y, name: cwnd}}\nruns: {y: {folder: none}}", "none is not a run folder"),
        ("figures: {a: {run: y, name: cwnd}}\nruns: {y: {experiment: none.yaml}}", "runs.y: none.yaml"),
    ],
)
def test_mistakes_in_a_paper(text: str, message: str, lab_command: Lab, tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text(text)
    said = lab_command("paper", "paper.yaml")
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err


def test_figures_that_an_experiment_asks_for_are_in_its_report(
    engines: list[Engine], lab_command: Lab, tmp_path: Path
) -> None:
    text = (EXPERIMENTS / "loss.yaml").read_text()
    asked = "report: {figures: [{kind: against, x: loss, y: srtt}, {kind: time, y: queue}], defaults: false}\n"
    (tmp_path / "loss.yaml").write_text(text + asked)
    run = Path(lab_command("run", "loss.yaml", "-q").lines[-1])
    figures = {path.stem for path in (run / "report" / "figures").glob("*.svg")}
    assert figures == {"topology", "asked-1-srtt-vs-loss", "asked-2-queue"}
    plan = json.loads((run / "plan.json").read_text())
    plan["report"]["figures"][0]["x"] = "los"
    (run / "plan.json").write_text(json.dumps(plan))
    said = lab_command("report", run)
    assert said.code == 2
    assert "plan.json: report.figures[0].x: found 'los'" in said.err or "figures[0].x: found 'los'" in said.err


def test_the_lists_of_names_agree() -> None:
    from typing import get_args

    assert KINDS == FIGURE_KINDS
    assert get_args(Style) == STYLES
    assert get_args(Width) == tuple(WIDTHS)
