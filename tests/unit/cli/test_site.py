# SPDX-License-Identifier: Apache-2.0
"""``lab site``: the reports of several runs, with a page and a summary that say how they went."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from lab.api.summary import RunSummary
from lab.engine.base import Engine
from lab.engine.replay import ReplayEngine
from lab.site.entries import GOOD, VERDICTS, Entry, entry_of, verdict_of
from lab.site.pages import headline, ordered, summary
from tests.data.capture import EXPERIMENTS, RECORDS
from tests.unit.cli.conftest import Changing, Lab, die

UDP = EXPERIMENTS / "udp.yaml"


@pytest.fixture
def run(engines: list[Engine], lab_command: Lab) -> Path:
    """The folder of a finished run."""
    return Path(lab_command("run", UDP).lines[-1])


def test_every_link_of_the_front_page_leads_to_a_file(run: Path, lab_command: Lab, tmp_path: Path) -> None:
    log = tmp_path / "a log & more.txt"
    log.write_text("text")
    said = lab_command("site", run, "-o", tmp_path / "site", "--title", "Tonight <1>", "--also", log)
    assert (said.code, said.lines) == (0, [str(tmp_path / "site" / "index.html")]), said.err
    assert said.err.splitlines()[-1] == "1 run: all passed."
    page = (tmp_path / "site" / "index.html").read_text()
    assert "<h1>Tonight &lt;1&gt;</h1>" in page
    links: list[str] = re.findall(r'href="([^"#]+)"', page)
    assert len(links) == 3
    assert all((tmp_path / "site" / unquote(link)).is_file() for link in links)
    # The raw records are there, to which the reports link.
    assert {path.name for path in (tmp_path / "site" / "udp" / run.name / "trials").iterdir()} == {
        path.name for path in (run / "trials").iterdir()
    }


def test_the_summary_has_links_and_figures_only_with_an_address(run: Path) -> None:
    entry = entry_of(run)
    assert "](" not in summary("Tonight", [entry], None)
    text = summary("Tonight", [entry], "https://example.org/lab/")
    assert f"[udp](https://example.org/lab/udp/{run.name}/report/index.html)" in text
    (figure,) = re.findall(r"!\[[^]]*\]\(https://example.org/lab/([^)]+)\)", text)
    assert (run.parent.parent / figure).is_file()


def test_what_a_run_can_be(run: Path, engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    assert entry_of(run).verdict == "passed"
    expecting = tmp_path / "udp.yaml"
    expecting.write_text(UDP.read_text() + "\nexpect:\n  - goodput >= 90mbit\n  - goodput > 1kbit\n")
    engines[:] = [ReplayEngine(RECORDS)]
    said = lab_command("run", expecting)
    assert said.code == 1
    entry = entry_of(Path(said.lines[-1]))
    assert (entry.verdict, entry.expected) == ("not met", "1 of 2")
    assert len(entry.failing) == 1
    assert entry.failing[0].startswith("goodput >= 90mbit: found ")
    said = lab_command("site", run, said.lines[-1], "-o", tmp_path / "site")
    assert said.code == 1
    assert said.err.splitlines()[-1] == "1 of 2 runs did not pass: udp."
    assert entry.failing[0].partition(":")[2][:20] in (tmp_path / "site" / "index.html").read_text()
    engines[:] = [Changing(die)]
    broken = lab_command("run", UDP, "--no-cache").lines[-1]
    assert entry_of(Path(broken)).verdict == "failed"
    unfinished = tmp_path / "unfinished" / run.name
    shutil.copytree(run, unfinished)
    shutil.rmtree(next((unfinished / "trials").iterdir()))
    assert entry_of(unfinished).verdict == "incomplete"


@pytest.mark.parametrize(
    ("state", "trials", "as_expected", "verdict"),
    [
        ("complete", {"ok": 2}, True, "passed"),
        ("complete", {"ok": 1, "warn": 1}, True, "warning"),
        ("complete", {"ok": 1, "warn": 1, "invalid": 1}, True, "invalid"),
        ("complete", {"ok": 2, "invalid": 1}, False, "not met"),
        ("interrupted", {"ok": 2, "missing": 1}, True, "incomplete"),
        ("interrupted", {"ok": 2, "invalid": 1, "missing": 1}, True, "invalid"),
        ("failed", {"ok": 2, "failed": 1}, False, "failed"),
        ("broken", {}, True, "failed"),
    ],
)
def test_the_verdict_is_the_worst_that_holds(
    state: str, trials: dict[str, int], as_expected: bool, verdict: str
) -> None:
    found = RunSummary(Path("run"), "e", "run", "", state, trials=trials)
    assert verdict_of(found, as_expected) == verdict


def test_the_worst_comes_first(run: Path) -> None:
    entry = entry_of(run)
    mixed: list[Entry] = [
        replace(entry, verdict=verdict, experiment=f"e{number}") for number, verdict in enumerate(reversed(VERDICTS))
    ]
    assert [one.verdict for one in ordered(mixed)] == list(VERDICTS)
    assert headline(mixed) == "4 of 6 runs did not pass: e2, e3, e4 and e5."
    assert headline([one for one in mixed if one.verdict in GOOD]) == "2 runs: all passed."


def test_what_cannot_be_a_site(run: Path, lab_command: Lab, tmp_path: Path) -> None:
    site = tmp_path / "site"
    log = tmp_path / "index.html"
    log.write_text("")
    for arguments, reason in (
        ([run, run], f"found the run udp/{run.name} twice"),
        ([tmp_path], "is not a run folder"),
        ([run, "--also", tmp_path / "nothing"], "found no such file"),
        ([run, "--also", log], "found a file with the name of another part of the site"),
    ):
        said = lab_command("site", *arguments, "-o", site)
        assert (said.code, said.out) == (2, ""), said
        assert reason in said.err
        assert not site.exists()
    assert lab_command("site", run, "-o", site).code == 0
    said = lab_command("site", run, "-o", site)
    assert said.code == 2
    assert "found something there already" in said.err
    shutil.rmtree(run / "report")
    said = lab_command("site", run, "-o", tmp_path / "other")
    assert said.code == 2
    assert f"found no report; expected one, which `lab report {run.absolute()}` writes" in said.err
