# SPDX-License-Identifier: Apache-2.0
"""Baselines: what is kept of a run, what a comparison with it says about cells, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cli.results.compare import compare_with_baseline
from lab.compare.baseline import baseline_text, cells_of, read_baseline, reference_first, write_baseline
from lab.compare.cells import Cell, RunCells, TrialState, Value, run_cells
from lab.compare.differences import differences
from lab.compare.outcome import remarks, what_changed
from lab.compare.tolerances import Tolerances, parse_tolerances
from lab.compare.verdicts import cell_outcomes, counts, failing
from lab.engine.base import Engine
from lab.errors import InputError
from lab.report import build_report
from lab.store.run import Run, open_run
from tests.data.capture import EXPERIMENTS
from tests.unit.cli.conftest import Lab, quick
from tests.unit.cli.test_compare import BASE, made_up

LATER = {"0%": [19.05, 19.0, 18.95], "1%": [2.4, 2.57, 2.47], "2%": [2.5, 2.1, 1.9]}


@pytest.fixture
def run(replayed: Callable[[str], Run], tmp_path: Path) -> Path:
    """Return the folder of a run with 18 trials in 6 cells, which a test may change."""
    folder = tmp_path / "results" / "loss" / "20260101T000000Z-abcdef"
    shutil.copytree(replayed("loss").path, folder)
    return folder


def verdicts(first: RunCells, second: RunCells, tolerance: float = 0.05) -> dict[str, str]:
    """Return the verdict on each cell, by its loss rate."""
    found = cell_outcomes(differences(first, second, Tolerances(tolerance)))
    return {outcome.cell[0][1]: outcome.verdict for outcome in found}


def test_a_baseline_keeps_everything_that_is_compared(run: Path, tmp_path: Path) -> None:
    found, file = run_cells(run), tmp_path / "new" / "loss.json"
    write_baseline(found, file, Tolerances(0.02, {"goodput_mbps": 0.01}))
    kept = read_baseline(file)
    assert kept.cells() == found.cells()
    assert kept.values.keys() == found.values.keys()
    for place, metrics in found.values.items():
        assert kept.values[place].keys() == metrics.keys()
        for key, values in metrics.items():
            for number, value in values.items():
                again = kept.values[place][key][number]
                assert (again.seed, again.digest) == (value.seed, value.digest)
                assert again.value == pytest.approx(value.value, rel=1e-11)
    assert kept.tolerances == {"default": 0.02, "goodput_mbps": 0.01}
    comparison = differences(kept, found, everything=True)
    assert counts(cell_outcomes(comparison)) == [("unchanged to the byte", 6)]
    assert what_changed(comparison).startswith("nothing on which results depend has changed")
    # Nothing is left to chance where the records are equal.
    assert all(item.effect.p_value is None and item.effect.size == 1.0 for item in comparison.differences)


def test_the_file_is_stable_and_has_a_line_for_each_metric(run: Path) -> None:
    text = baseline_text(run_cells(run), Tolerances())
    assert text == baseline_text(run_cells(run), Tolerances())
    lines = [line for line in text.splitlines() if '"goodput_mbps": [' in line]
    assert len(lines) == 6
    assert len(json.loads("{" + lines[0].strip().rstrip(",") + "}")["goodput_mbps"]) == 3
    assert len(text) < 20_000


def test_verdicts_on_cells() -> None:
    assert verdicts(made_up("a", BASE), made_up("b", LATER)) == {
        "0%": "within tolerance",
        "1%": "worse",
        "2%": "unclear",
    }
    assert verdicts(made_up("b", LATER), made_up("a", BASE))["1%"] == "better"
    assert verdicts(made_up("a", BASE, digest="x"), made_up("b", BASE, digest="x")) == dict.fromkeys(
        BASE, "unchanged to the byte"
    )
    assert verdicts(made_up("a", BASE), made_up("b", {**LATER, "5%": [1.0]}))["5%"] == "new"
    assert verdicts(made_up("a", BASE), made_up("b", {"0%": [19.0, 19.0, 19.0]}))["2%"] == "missing"


@pytest.mark.parametrize("tolerance", [0.005, 0.01])
def test_a_tolerance_below_5_percent_holds(tolerance: float) -> None:
    """A change of 3 %, which the answer of a report calls the same, is one here."""
    first = made_up("a", {"0%": [10.0, 10.01, 9.99], "1%": [8.0] * 3})
    second = made_up("b", {"0%": [9.7, 9.71, 9.69], "1%": [7.76] * 3})
    assert set(verdicts(first, second).values()) == {"within tolerance"}
    assert set(verdicts(first, second, tolerance).values()) == {"worse"}
    assert verdicts(made_up("a", {"0%": [10.0]}), made_up("b", {"0%": [9.7]}), tolerance) == {"0%": "worse"}


def test_tolerances_of_single_metrics() -> None:
    declared = Tolerances(0.02, {"retransmits": 0.5})
    metrics = ("goodput_mbps", "retransmits")
    assert parse_tolerances([], metrics, declared) == declared
    assert parse_tolerances(["goodput_mbps=1%"], metrics, declared).by_metric == {
        "goodput_mbps": 0.01,
        "retransmits": 0.5,
    }
    assert parse_tolerances(["3%"], metrics, declared) == Tolerances(0.03)
    with pytest.raises(ValueError, match="goodput"):
        parse_tolerances(["goodput=1%"], metrics, declared)
    first, second = made_up("a", {"0%": [10.0]}), made_up("b", {"0%": [9.7]})
    (cell,) = cell_outcomes(differences(first, second, Tolerances(0.5, {"goodput_mbps": 0.01})))
    assert (cell.verdict, cell.why) == ("worse", "worse: Goodput")


def test_repetitions_that_only_one_run_has_do_not_count() -> None:
    first, second = made_up("a", {"1%": [3.0, 5.0]}, digest="x"), made_up("b", {"1%": [3.0]}, digest="x")
    (cell,) = cell_outcomes(differences(first, second))
    assert (cell.verdict, cell.why) == ("within tolerance", "1 repetition instead of 2")


def test_equal_records_of_which_another_version_computes_something_else() -> None:
    first, second = made_up("a", {"1%": [3.0]}, digest="x"), made_up("b", {"1%": [2.0]}, digest="x")
    (cell,) = cell_outcomes(differences(first, second))
    assert cell.verdict == "worse"
    assert "equal to the byte, but lab computes" in cell.why


@pytest.mark.parametrize(("state", "verdict"), [("invalid", "invalid"), ("failed", "invalid"), ("missing", "missing")])
def test_trials_that_measured_nothing_are_no_success(state: Any, verdict: str) -> None:
    first, second = made_up("a", BASE, digest="x"), made_up("b", BASE, digest="x")
    cell: Cell = (("loss", "1%"),)
    trials: dict[Cell, dict[int, TrialState]] = {key: dict(value) for key, value in second.cells().items()}
    trials[cell][2] = replace(trials[cell][2], verdict=state)
    found = cell_outcomes(differences(first, replace(second, trials=trials)))
    (bad,) = failing(found)
    assert (bad.cell, bad.verdict, bad.why) == (cell, verdict, f"of 3 trials of e/b, 1 {state}")
    assert len(failing(found, common_only=True)) == (state != "missing")


def test_other_records_of_equal_inputs_are_pointed_out() -> None:
    provenance = {"engine": "vm", "kernel": "6.12", "image_digest": "1"}
    first, second = (made_up(name, BASE, provenance=provenance) for name in "ab")
    assert any("`lab verify`" in text for text in remarks(differences(first, second)))
    third = made_up("c", BASE, provenance={**provenance, "image_digest": "2"})
    assert not any("`lab verify`" in text for text in remarks(differences(first, third)))
    assert what_changed(differences(first, third)) == "changed: image; not changed: engine, kernel, experiment"
    native = made_up("d", BASE, provenance={**provenance, "engine": "native"})
    assert not any("`lab verify`" in text for text in remarks(differences(native, replace(native, values={}))))


def test_the_baseline_is_the_reference_wherever_it_is_named(run: Path, tmp_path: Path, lab_command: Any) -> None:
    file = tmp_path / "loss.json"
    assert lab_command("baseline", run, "-o", file).out.strip() == str(file)
    document = json.loads(file.read_text())
    for cell in document["cells"]:
        for flows in cell["flows"]:
            flows["metrics"]["goodput_mbps"] = [1.9 * value for value in flows["metrics"]["goodput_mbps"]]
        for trial in cell["trials"]:
            trial["digest"] = "0" * 64
    file.write_text(json.dumps(document))
    assert [one.is_baseline for one in reference_first([cells_of(run), cells_of(file)])] == [True, False]
    for order in ((run, file), (file, run)):
        said = lab_command("compare", *order)
        assert said.code == 1
        assert "6 cells: 6 worse" in said.out, said.out
        assert "−47 %" in said.out
    assert lab_command("compare", run, file, "--tolerance", "100%").code == 0


def test_the_comparison_at_the_end_of_a_run(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.report.figures.saving.save", quick)
    folder = open_run(run)
    build_report(run)
    found = run_cells(run)
    reference = tmp_path / "b.json"
    write_baseline(found, reference, Tolerances())
    assert compare_with_baseline(folder, read_baseline(reference), Tolerances(), quiet=False) == 0
    assert "6 cells: 6 unchanged to the byte" in capfd.readouterr().err
    place = next(iter(found.values))
    metrics = {**found.values[place], "goodput_mbps": {n: Value(99.0, 1, "") for n in (1, 2, 3)}}
    changed = replace(read_baseline(reference), values={**found.values, place: metrics})
    assert compare_with_baseline(folder, changed, Tolerances(), quiet=True) == 1
    said = capfd.readouterr().err
    assert said.startswith("lab: not as the baseline: ")
    assert "worse: Goodput" in said
    for name in ("html", "md", "json"):
        assert "worse" in (folder.report_dir / f"comparison.{name}").read_text()
    # The baseline is of this run, whose figures are therefore on both sides.
    assert "side by side" in (folder.report_dir / "comparison.html").read_text()


def test_the_old_kernel_can_be_asked_for() -> None:
    first, second = (
        made_up("a", BASE, provenance={"engine": "vm", "kernel": f"6.12.{minor}+deb13-cloud-amd64"})
        for minor in (115, 118)
    )
    kernel = "debian-13=6.12.115+deb13-cloud-amd64"
    assert any(f"--set kernel={kernel}" in text for text in remarks(differences(first, second)))
    assert not any("--set kernel" in text for text in remarks(differences(first, first)))
    for fields in ({"kernel": ["debian-12", "debian-13"]}, {"kernel": ["deb-1"]}):
        assert not any("--set kernel" in text for text in remarks(differences(replace(first, fields=fields), second)))
    own = replace(first, fields={"kernel": ["debian-12=6.12.115-2~deb12u1"]})
    assert any("--set kernel=debian-12=6.12.115+deb13" in text for text in remarks(differences(own, second)))


def test_a_run_with_a_baseline(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    experiment = EXPERIMENTS / "udp.yaml"
    run = lab_command("run", experiment).lines[-1]
    assert lab_command("run", experiment, "--baseline", "b.json").code == 2
    assert lab_command("run", experiment, "--tolerance", "5%").code == 2
    lab_command("baseline", run, "-o", "b.json")
    said = lab_command("run", experiment, "--baseline", "b.json")
    assert said.code == 0, said.err
    assert "2 cells: 2 unchanged to the byte" in said.err
    # The page links the comparison, also after the report has been written again.
    report = Path(said.lines[-1]) / "report"
    for _again in range(2):
        assert '<a href="comparison.html">' in (report / "index.html").read_text()
        assert "unchanged to the byte" in (report / "comparison.html").read_text()
        assert {path.name for path in report.glob("comparison.*")} == {
            "comparison.html", "comparison.json", "comparison.md",
        }  # fmt: skip
        assert lab_command("report", report.parent).code == 0
    assert "comparison.html" not in (Path(run) / "report" / "index.html").read_text()
    # A run may come from anybody; what its links point to is not copied.
    (report / "comparison.html").unlink()
    (report / "comparison.html").symlink_to("/etc/hostname")
    assert lab_command("report", report.parent).code == 0
    assert not (report / "comparison.html").exists()
    assert "comparison.html" not in (report / "index.html").read_text()
    # The kernel of the next run loses more.
    file = tmp_path / "b.json"
    document = json.loads(file.read_text())
    for cell in document["cells"]:
        for trial in cell["trials"]:
            trial["digest"] = "0" * 64
        for flows in cell["flows"]:
            flows["metrics"]["goodput_mbps"] = [1.5 * value for value in flows["metrics"]["goodput_mbps"]]
    document["environment"]["kernel"] = "6.0.0"
    file.write_text(json.dumps(document))
    said = lab_command("run", experiment, "--baseline", "b.json", "-q")
    assert said.code == 1
    assert said.err.count("lab: not as the baseline: ") == 2
    said = lab_command("run", experiment, "--baseline", "b.json")
    assert (said.code, said.lines[-1].startswith("results/udp/")) == (1, True)
    assert "changed: kernel; not changed: " in said.err
    assert lab_command("run", experiment, "--baseline", "b.json", "--tolerance", "60%").code == 0


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(format=2), "found a baseline of format 2; this version reads format 1"),
        (_without("cells"), "is no baseline"),
        (_without("fields"), "is damaged"),
        (lambda document: document.update(run="../../etc"), "cannot be used as a file name"),
        (lambda document: document["cells"].append(document["cells"][0]), "is there twice"),
        (lambda document: document["tolerances"].update(default=7), "a share from 0 to 1"),
        (lambda document: document["tolerances"].update(nothing=0.1), "the key of a metric"),
        (lambda document: document["cells"][0]["trials"].pop(), "of other repetitions"),
    ],
)
def test_what_is_no_baseline_is_refused(
    run: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    document = json.loads(baseline_text(run_cells(run), Tolerances()))
    change(document)
    file = tmp_path / "b.json"
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as caught:
        read_baseline(file)
    assert str(file) in str(caught.value) or "file name" in message


def test_the_baseline_of_another_experiment_is_pointed_out(
    run: Path, replayed: Callable[[str], Run], tmp_path: Path, lab_command: Any
) -> None:
    write_baseline(run_cells(run), tmp_path / "b.json", Tolerances())
    said = lab_command("compare", replayed("udp").path, tmp_path / "b.json")
    assert said.code == 1
    assert "is the baseline of another experiment, loss" in said.out
    assert "missing" in said.out
    assert "another experiment" not in lab_command("compare", run, tmp_path / "b.json").out


def test_metrics_of_other_versions_are_named(run: Path, tmp_path: Path) -> None:
    document = json.loads(baseline_text(run_cells(run), Tolerances()))
    document["cells"][0]["flows"][0]["metrics"]["brilliance"] = [1.0, 2.0, 3.0]
    file = tmp_path / "b.json"
    file.write_text(json.dumps(document))
    assert any("does not know brilliance" in text for text in remarks(differences(read_baseline(file), run_cells(run))))


def test_commands_refuse_what_cannot_be_compared(run: Path, tmp_path: Path, lab_command: Any) -> None:
    said = lab_command("baseline", run, "-o", tmp_path / "b.yaml")
    assert (said.code, ".json" in said.err) == (2, True)
    shutil.rmtree(next((run / "trials").iterdir()))
    said = lab_command("baseline", run, "-o", tmp_path / "b.json")
    assert (said.code, "1 missing" in said.err) == (2, True)
    assert lab_command("baseline", run, "-o", tmp_path / "b.json", "--allow-invalid").code == 0
    (tmp_path / "c.json").write_text("topology: {}")
    for name, message in (("c.json", "is no baseline"), ("d.json", "no such file")):
        said = lab_command("compare", run, tmp_path / name)
        assert (said.code, said.out) == (2, "")
        assert message in said.err.lower()
