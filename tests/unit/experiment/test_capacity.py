# SPDX-License-Identifier: Apache-2.0
"""Capacity files in mahimahi's format: the rates and times in them, their errors, and the copies in a run's folder."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import load_experiment
from lab.experiment.schema.capacity import parse_capacity
from lab.job.over_time import opportunities_ms
from lab.plan.plan import make_plan
from lab.store.run import create_run

SHIPPED = Path(__file__).parents[3] / "experiments" / "capacity"

FILE = """\
name: test
topology:
  kind: dumbbell
  bottleneck: {capacity: some/my.mahimahi, delay: 10ms, reverse: {rate: 5mbit}}
flows:
  bulk: {from: s1, to: d1}
duration: 20s
"""


def written(folder: Path, lines: str, text: str = FILE) -> Path:
    (folder / "some").mkdir(exist_ok=True)
    (folder / "some" / "my.mahimahi").write_text(lines)
    (folder / "experiment.yaml").write_text(text)
    return folder / "experiment.yaml"


def test_a_capacity_file_s_rate_and_times(tmp_path: Path) -> None:
    loaded = load_experiment(written(tmp_path, "1\n1\n3\n\n# a comment\n10\n"))
    (trial,) = make_plan(loaded.checked).trials
    way = next(link["ab"] for link in trial.job["links"] if link["name"] == "bottleneck")
    # The file allows four packets of 1514 bytes in 10 ms.
    assert way["rate_bps"] == 4 * 1514 * 8 * 100
    assert way["capacity"]
    assert opportunities_ms(way["capacity"]) == (1, 1, 3, 10)
    assert way["capacity"]["period_ms"] == 10
    back = next(link["ba"] for link in trial.job["links"] if link["name"] == "bottleneck")
    assert (back["capacity"], back["rate_bps"]) == (None, 5_000_000)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("1\nx\n", "line 2: found 'x'; expected a time in ms, such as 12"),
        ("1\n-3\n", "line 2: found '-3'; expected a time in ms"),
        ("5\n4\n", "line 2: found 4 after 5; expected times that do not decrease"),
        ("", "found no time after 0; expected at least one"),
        ("0\n0\n", "found no time after 0; expected at least one"),
        ("3600001\n", "line 1: found 3600001; expected at most 3600000 ms"),
        ("7\n" * 256, "line 256: found more than 255 opportunities in one ms"),
    ],
)
def test_what_is_no_capacity_file_is_said_with_its_line(tmp_path: Path, lines: str, expected: str) -> None:
    with pytest.raises(SpecError) as error:
        load_experiment(written(tmp_path, lines))
    assert "experiment.yaml:4:26: topology.bottleneck.capacity: found 'some/my.mahimahi': " in str(error.value)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("some/my.mahimahi", "none.mahimahi", "topology.bottleneck.capacity: found 'none.mahimahi': "),
        (
            "capacity: some/my.mahimahi",
            "capacity: 20mbit",
            "found '20mbit'; expected the path of a capacity file; a constant rate is 'rate: 20mbit'",
        ),
        ("capacity: some", "capacty: some", "unknown field 'capacty'; did you mean 'capacity'?"),
        (
            "capacity: some/my.mahimahi",
            "capacity: 3",
            "topology.bottleneck.capacity: found 3; expected the path of a file",
        ),
        (
            "delay: 10ms",
            "delay: 10ms, rate: 1mbit",
            "found a capacity file together with a rate; expected only one of them",
        ),
        (
            "delay: 10ms",
            "delay: 10ms, queue: {discipline: codel}",
            "found codel on a link with a capacity file; expected bfifo",
        ),
        (
            "delay: 10ms",
            "delay: 10ms, schedule: [{at: 1s, rate: 1mbit}]",
            "found changes of rate or queue together with a capacity file",
        ),
        (
            "capacity: some/my.mahimahi, ",
            "",
            "topology.bottleneck: 'rate' is missing (such as 20mbit; or a 'capacity' file)",
        ),
    ],
)
def test_what_does_not_go_with_a_capacity_file(tmp_path: Path, before: str, after: str, expected: str) -> None:
    with pytest.raises(SpecError) as error:
        load_experiment(written(tmp_path, "1\n10\n", FILE.replace(before, after)))
    assert expected in str(error.value)


def test_capacity_files_may_be_compared(tmp_path: Path) -> None:
    (tmp_path / "other.mahimahi").write_text("5\n")
    text = FILE + "matrix: {topology.bottleneck.capacity: [some/my.mahimahi, other.mahimahi]}\n"
    loaded = load_experiment(written(tmp_path, "1\n10\n", text))
    plan = make_plan(loaded.checked)
    assert [cell.id for cell in plan.cells] == ["capacity-some-my.mahimahi", "capacity-other.mahimahi"]


@pytest.mark.parametrize(
    "name",
    [
        "some/my.mahimahi", "trials", "trials/single-r1", "report/index.html", "provenance.json", "plan.json",
        "experiment.yaml", "inputs/plan.json", "../beside/my.mahimahi", "./my.mahimahi", "ABSOLUTE/my.mahimahi",
    ],
)  # fmt: skip
def test_a_run_keeps_its_capacity_file_apart_and_can_be_repeated_from_its_folder(tmp_path: Path, name: str) -> None:
    name = name.replace("ABSOLUTE", str(tmp_path))
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("1\n10\n")
    experiment = tmp_path / "own" / "of-mine.yaml"
    experiment.write_text(FILE.replace("some/my.mahimahi", name))
    loaded = load_experiment(experiment)
    run = create_run(tmp_path / "results", "test", loaded.text, {"trials": []}, loaded.files)
    assert sorted(path.name for path in run.path.iterdir()) == ["experiment.yaml", "inputs", "plan.json", "trials"]
    assert (run.experiment_text, run.plan, list(run.trials())) == (loaded.text, {"trials": []}, [])
    (kept,) = (path for path in (run.path / "inputs").rglob("*") if path.is_file())
    assert kept.read_bytes() == b"1\n10\n"
    file.unlink()
    again = load_experiment(run.path / "experiment.yaml")
    assert make_plan(again.checked) == make_plan(loaded.checked)
    assert again.files == loaded.files
    # A run of the repeated experiment has the same files.
    later = create_run(tmp_path / "results", "test", again.text, {"trials": []}, again.files)
    assert (later.path / "inputs" / kept.relative_to(run.path / "inputs")).read_bytes() == b"1\n10\n"


def test_nothing_is_written_outside_of_a_run_s_inputs(tmp_path: Path) -> None:
    names = ["../../evil", "/tmp/evil", "../evil", "evil", "./evil", "a/../evil", "outside-1/evil", ".tmp-1/evil", ".."]
    names += ["e" * 250, "evil\0", "\ud800evil"]
    files = {name: str(number).encode() for number, name in enumerate(names)}
    run = create_run(tmp_path / "results", "test", b"", {"trials": []}, files)
    inputs = run.path / "inputs"
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != run.path]
    assert all(path.is_relative_to(inputs) for path in kept)
    # Each name has a place of its own.
    assert sorted(path.read_bytes() for path in kept) == sorted(files.values())
    assert (inputs / "evil").read_bytes() == b"3"


def test_the_shipped_capacity_files_are_what_their_script_makes() -> None:
    made = runpy.run_path(str(SHIPPED / "make.py"))
    for name in ("step", "cellular"):
        times = made[name]()
        shipped = [int(line) for line in (SHIPPED / f"{name}.mahimahi").read_text().split()]
        assert shipped[:-1] == times[:-1]
    step = parse_capacity((SHIPPED / "step.mahimahi").read_text())
    assert step.period_ms == 20_000
    assert step.rate_bps(1514) == pytest.approx(12.5e6, rel=0.001)
