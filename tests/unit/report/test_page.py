# SPDX-License-Identifier: Apache-2.0
"""The page and all that is built with it: what it says agrees with the files, and the same run gives the same bytes."""

from __future__ import annotations

import base64
import csv
import functools
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from lab.errors import InputError, StoreError
from lab.report import build_report
from lab.report.figures.drawn import Drawn
from lab.report.page import render
from lab.report.page.provenance import PROVENANCE_LABELS
from lab.report.tables.results import number
from lab.store.files import read_json
from lab.store.run import Run, open_run
from tests.data.capture import names
from tests.unit.report import expected
from tests.unit.report.built import Page, build, quick
from tests.unit.report.expected import verdict


@pytest.fixture(scope="module")
def pages(
    replayed: Callable[[str], Run], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Page]]:
    """The folder of an experiment's run and the page of its report."""
    return functools.cache(lambda name: build(replayed(name), tmp_path_factory.mktemp("pages")))


@pytest.fixture
def built(replayed: Callable[[str], Run], tmp_path: Path) -> Callable[..., tuple[Path, Page]]:
    """The same of a run that something was changed in."""
    return lambda name, change: build(replayed(name), tmp_path, change)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", names())
def test_tables_agree_with_their_files(name: str, pages: Callable[[str], tuple[Path, Page]]) -> None:
    run, page = pages(name)
    tables = run / "report" / "tables"
    rows = read(tables / "results.csv")
    (results,) = (table for table in page.tables if table[0][:1] != [] and any("Goodput" in cell for cell in table[0]))
    assert len(results) == len(rows) + 1
    place = next(at for at, cell in enumerate(results[0]) if cell.startswith("Goodput"))
    count = results[0].index("n")
    for shown, row in zip(results[1:], rows, strict=True):
        assert shown[count] == row["n"]
        assert shown[place].split("|")[0] == number(float(row["goodput_mbps_mean"]) * expected.unit(name)[1], 3)
    # Each table of events has as many lines as its file, or as fit on a page.
    for path in tables.glob("*.csv"):
        assert f"tables/{path.name}" in page.links
    events = {path.stem for path in tables.glob("*.csv")} - {"results", "trials", "validity"}
    shown_lines = sorted(len(table) - 1 for table in page.tables_in("kernel"))
    assert shown_lines == sorted(min(40, len(read(tables / f"{one}.csv"))) for one in events)


@pytest.mark.parametrize("name", names())
def test_every_check_of_every_trial_is_on_the_page(name: str, pages: Callable[[str], tuple[Path, Page]]) -> None:
    run, page = pages(name)
    checks = [table[1:] for table in page.tables if table[0][:1] == ["Check"]]
    stored: dict[str, list[list[str]]] = {}
    for row in read(run / "report" / "tables" / "validity.csv"):
        stored.setdefault(row["trial"], []).append(
            [row[one] for one in ("title", "verdict", "asked", "found", "threshold")]
        )
    squeezed = [[[" ".join(cell.replace("|", "").split()) for cell in row] for row in table] for table in checks]
    # Trials that did not pass come first.
    shown = sorted(stored, key=lambda trial: verdict(run, trial) == "ok")
    assert squeezed == [[[" ".join(cell.split()) for cell in row] for row in stored[trial]] for trial in shown]
    counts = {one: sum(verdict(run, trial) == one for trial in stored) for one in ("ok", "warn", "invalid")}
    if counts["ok"] == len(open_run(run).planned_ids()):
        expected = "The trial is valid" if counts["ok"] == 1 else f"All {counts['ok']} trials are valid"
        assert expected in page.text
    else:
        assert f"{counts['ok']} of {len(open_run(run).planned_ids())} trials " in page.text


@pytest.mark.parametrize("name", names())
def test_every_figure_is_on_the_page_and_beside_it(name: str, pages: Callable[[str], tuple[Path, Page]]) -> None:
    run, page = pages(name)
    files = {path.stem for path in (run / "report" / "figures").iterdir()}
    assert page.figures.keys() == files
    for figure, source in page.figures.items():
        data = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,"))
        assert data == (run / "report" / "figures" / f"{figure}.svg").read_bytes()
        assert {f"figures/{figure}.{suffix}" for suffix in ("svg", "pdf", "png")} <= set(page.links)
    # It stands alone: links lead to its own places and to what is beside it.
    for link in page.links:
        assert link.removeprefix("#") in page.ids if link.startswith("#") else (run / "report" / unquote(link)).exists()


def test_the_sections_are_in_the_order_in_which_questions_come_up(
    pages: Callable[[str], tuple[Path, Page]],
) -> None:
    # The results are the answer; how they came about and how far they can be trusted follows; provenance comes last.
    run, page = pages("everything")
    order = ["results", "caveats", "setup", "figures", "time", "kernel", "validity", "provenance"]
    assert [heading for heading in order if heading in page.headings] == page.headings
    assert set(order) - set(page.headings) <= {"caveats"}
    text = (run / "report" / "summary.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("#")][1:] == [
        "## Results",
        *["## Caveats"] * ("caveats" in page.headings),
        "## What happened in the kernel",
        "## Provenance",
        "## Repeat the run",
    ]


def test_what_was_run_and_where_results_come_from(pages: Callable[[str], tuple[Path, Page]]) -> None:
    run, page = pages("loss")
    (table,) = page.tables_in("setup")
    settings = {row[0]: row[1] for row in table}
    assert settings["cc"] == "cubic, bbr"
    assert settings["loss"] == "0%, 0.2%, 2%"
    assert settings["Repetitions"] == "3"
    assert (settings["MTU"], settings["ECN"], settings["IP"]) == ("1500 B", "off", "IPv4")
    stored = json.loads((run / "provenance.json").read_text())
    provenance = next(table for table in page.tables if any(row[0] == "Results digest" for row in table))
    shown = {row[0]: row[1] for row in provenance}
    for key, label in PROVENANCE_LABELS.items():
        assert shown.get(label) == (str(stored[key]) if key in stored else None)
    assert shown["captures_digest"] == stored["captures_digest"]
    digests = {row[0]: row[1] for row in page.tables[-1]}
    assert digests == {trial: about["record_digest"] for trial, about in stored["trials"].items()}


def test_the_summary_says_the_same(pages: Callable[[str], tuple[Path, Page]]) -> None:
    run, page = pages("loss")
    text = (run / "report" / "summary.md").read_text().partition("## The comparisons")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and " --- " not in line]
    results = next(table for table in page.tables if any("Goodput" in cell for cell in table[0]))
    assert len(lines) == len(results)
    for line, row in zip(lines[1:], results[1:], strict=True):
        # The best values are bold in both, which the table of the page says by a class.
        cells = [cell.strip().replace("**", "") for cell in line.strip("|").split("|")]
        assert cells[:-1] == [" ".join(cell.replace("|", " ").split()) for cell in row[:-1]]
    # What is written in an experiment is text, whatever it looks like.
    assert r"Is there \*anything\* to \| see \<here>?" in text
    assert "Is there *anything* to | see <here>?" in page.text


def test_a_failed_trial_is_named_with_its_reason(pages: Callable[[str], tuple[Path, Page]]) -> None:
    run, page = pages("failed")
    assert "1 of 2 trials " in page.text
    assert "1 failed." in page.text
    reason = json.loads((run / "trials" / "nosuch-r1" / "trial.json").read_text())["error"]
    assert reason in page.text
    assert re.search(r"\*\*failed\*\*: nosuch-r1", (run / "report" / "summary.md").read_text())


def test_a_trial_that_was_not_run_is_missing(built: Callable[..., tuple[Path, Page]]) -> None:
    run, page = built("loss", lambda run: shutil.rmtree(run / "trials" / "bbr-loss-2pct-r2"))
    assert "1 not run." in page.text
    rows = {(row["loss"], row["congestion_control"]): row for row in read(run / "report" / "tables" / "results.csv")}
    assert (rows["2%", "bbr"]["n"], rows["2%", "bbr"]["missing"]) == ("2", "1")
    assert (rows["2%", "cubic"]["n"], rows["2%", "cubic"]["missing"]) == ("3", "0")
    assert "1 missing" in page.text


def plant_offloads(run: Path, trial: str) -> None:
    path = run / "trials" / trial / "trial.json"
    document = json.loads(path.read_text())
    for port in document["record"]["interfaces"]:
        if port["role"] == "egress":
            port["offloads"]["gso"] = True
    path.write_text(json.dumps(document))


def test_an_invalid_trial_is_left_out(built: Callable[..., tuple[Path, Page]]) -> None:
    run, page = built("loss", lambda run: plant_offloads(run, "cubic-loss-0pct-r1"))
    assert verdict(run, "cubic-loss-0pct-r1") == "invalid"
    rows = read(run / "report" / "tables" / "results.csv")
    (row,) = (row for row in rows if (row["loss"], row["congestion_control"]) == ("0%", "cubic"))
    assert (row["n"], row["left_out"]) == ("2", "1")
    trials = {row["trial"]: float(row["goodput_bps"]) for row in read(run / "report" / "tables" / "trials.csv")}
    kept = [trials[f"cubic-loss-0pct-r{repetition}"] / 1e6 for repetition in (2, 3)]
    assert float(row["goodput_mbps_mean"]) == pytest.approx(sum(kept) / 2)
    verdicts = [row["verdict"] for row in read(run / "report" / "tables" / "trials.csv")]
    assert f"{verdicts.count('ok')} of 18 trials " in page.text
    assert "GSO on: " in page.text


def test_where_every_trial_is_invalid_all_are_averaged(built: Callable[..., tuple[Path, Page]]) -> None:
    def plant(run: Path) -> None:
        for repetition in (1, 2, 3):
            plant_offloads(run, f"cubic-loss-0pct-r{repetition}")

    run, _page = built("loss", plant)
    rows = read(run / "report" / "tables" / "results.csv")
    (row,) = (row for row in rows if (row["loss"], row["congestion_control"]) == ("0%", "cubic"))
    assert (row["n"], row["left_out"], row["verdict"]) == ("3", "0", "invalid")


HOSTILE = "</script><script>alert(1)</script><!-- {{ 7 * 7 }} \" ' &amp;"


def test_words_of_an_experiment_are_text_wherever_they_are(built: Callable[..., tuple[Path, Page]]) -> None:
    def plant(run: Path) -> None:
        plan = json.loads((run / "plan.json").read_text())
        plan["title"] = plan["description"] = HOSTILE
        for axis in plan["axes"]:
            axis["label"] = f"{axis['label']} {HOSTILE}"
        (run / "plan.json").write_text(json.dumps(plan))

    run, page = built("loss", plant)
    source = (run / "report" / "index.html").read_text()
    assert "alert(1)</script>" not in source
    # Title and description are shown as they are; the page is still nested as it should be, as the parser checks.
    assert page.text.count(" ".join(HOSTILE.split())) >= 2
    (data,) = re.findall(r'<script type="application/json" id="chart-data">(.*?)</script>', source, re.DOTALL)
    assert json.loads(data)["views"][0]["title"] == f"loss {HOSTILE} 0%"


def test_the_page_says_how_many_points_its_charts_have(pages: Callable[[str], tuple[Path, Page]]) -> None:
    # The trials have 3 s, which are divided into 1500 parts.
    assert "at most four points remain of each 2.01 ms: the first, the lowest, the highest" in pages("loss")[1].text
    assert "Each curve is that of the repetition with the median goodput. The congestion" in pages("loss")[1].text
    assert "Flows that ran together are those of the same trial." in pages("measured")[1].text
    assert "the repetition with the median goodput. The cong" not in pages("everything")[1].text


def test_every_style_sheet_and_script_is_in_the_page(pages: Callable[[str], tuple[Path, Page]]) -> None:
    source = (pages("loss")[0] / "report" / "index.html").read_text()
    assets = Path(render.__file__).parents[1] / "assets"
    files = [path for path in assets.rglob("*") if path.suffix in (".css", ".js")]
    assert len(files) > 9
    assert all(path.read_text() in source for path in files)
    # Without charts, the library that draws them is not there; its licence is wherever it is.
    licence = (assets / render.LIBRARY_LICENCE).read_text()
    assert licence in source
    without = (pages("udp")[0] / "report" / "index.html").read_text()
    assert licence not in without
    assert "uPlot" not in without


def test_no_trial_at_all(built: Callable[..., tuple[Path, Page]]) -> None:
    def plant(run: Path) -> None:
        for trial in (run / "trials").iterdir():
            shutil.rmtree(trial)

    _run, page = built("udp", plant)
    assert "No trial was carried out." in page.text
    assert "There are no results." in page.text
    assert not page.figures


def test_a_damaged_trial_is_named(built: Callable[..., tuple[Path, Page]]) -> None:
    with pytest.raises(StoreError, match=r"bulk\.server\.json"):
        built("failed", lambda run: (run / "trials/cubic-r1/iperf3/bulk.server.json").unlink())
    with pytest.raises(InputError, match="/nowhere is "):
        build_report(Path("/nowhere"))


def test_a_trial_whose_iperf3_has_no_result_is_invalid(built: Callable[..., tuple[Path, Page]]) -> None:
    def plant(run: Path) -> None:
        path = run / "trials/cubic-r1/iperf3/bulk.server.json"
        path.write_text(json.dumps({"start": {}, "end": {}, "error": "broken pipe"}))

    run, page = built("failed", plant)
    assert verdict(run, "cubic-r1") == "invalid"
    assert "broken pipe" in page.text


# --- to the byte ---------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_run_gives_the_same_bytes(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    run = tmp_path / "udp" / replayed("udp").path.name
    shutil.copytree(replayed("udp").path, run)
    build_report(run)
    first = contents(run / "report")
    assert {name.rpartition(".")[2] for name in first} == {"html", "md", "json", "csv", "svg", "pdf", "png"}
    build_report(run)
    assert contents(run / "report") == first
    # From somewhere else, with figures that were drawn before.
    other = tmp_path / "elsewhere" / "udp" / run.name
    shutil.copytree(replayed("udp").path, other)
    build_report(other, tmp_path / "figures")
    assert contents(other / "report") == first
    assert len(list((tmp_path / "figures").iterdir())) == 1


def test_a_damaged_figure_in_the_cache_does_not_end_the_report(
    replayed: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.report.figures.saving.save", quick)
    run = tmp_path / "udp" / replayed("udp").path.name
    shutil.copytree(replayed("udp").path, run)
    build_report(run, tmp_path / "figures")
    (damaged, *_others) = sorted((tmp_path / "figures").glob("*/*.svg"))
    damaged.write_bytes(damaged.read_bytes()[:5])
    page = Page.of(build_report(run, tmp_path / "figures"))
    assert damaged.stem in page.figures


def test_a_report_parses_the_plan_once(
    replayed: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "udp" / replayed("udp").path.name
    shutil.copytree(replayed("udp").path, run)
    read: list[Path] = []

    def counted(path: Path) -> Any:
        read.append(path)
        return read_json(path)

    monkeypatch.setattr("lab.store.run.read_json", counted)
    monkeypatch.setattr("lab.report.figures.saving.save", quick)
    build_report(run, tmp_path / "figures")
    assert read.count(run / "plan.json") == 1


def test_figures_that_were_drawn_before_are_taken(
    replayed: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def counted(figures: Sequence[Drawn], folder: Path) -> None:
        for one in figures:
            drawn.append(one.name)
            quick(one.figure, folder, one.name)

    monkeypatch.setattr("lab.report.figures.draw.save_all", counted)
    run = tmp_path / "failed" / replayed("failed").path.name
    shutil.copytree(replayed("failed").path, run)
    build_report(run, tmp_path / "figures")
    number = len(drawn)
    assert number > 3
    before = contents(run / "report")
    build_report(run, tmp_path / "figures")
    assert len(drawn) == number
    assert contents(run / "report") == before
    # Another result: another figure.
    document = json.loads((run / "trials" / "cubic-r1" / "trial.json").read_text())
    document["record_digest"] = "0" * 64
    (run / "trials" / "cubic-r1" / "trial.json").write_text(json.dumps(document))
    build_report(run, tmp_path / "figures")
    assert len(drawn) == 2 * number
    assert len(list((tmp_path / "figures").iterdir())) == 2
