# SPDX-License-Identifier: Apache-2.0
"""``lab bisect``: which kernel is tried next, what is found, how it goes on after an interruption."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from lab.bisect.judges import ComparisonJudge, ConditionJudge
from lab.bisect.search import Verdict, next_place, remaining
from lab.compare.tolerances import Tolerances
from lab.engine.base import Engine
from lab.engine.debian.archive import DebianKernel
from lab.errors import StoreError
from lab.report import build_report
from lab.store.run import Run
from tests.data.capture import EXPERIMENTS
from tests.unit.cli.conftest import Changing, Lab


def search(first_bad: int, number: int, skipped: tuple[int, ...] = ()) -> tuple[int, bool, int]:
    """Return the kernel that is found, whether it is known exactly, and how many kernels had to be tried."""
    verdicts: dict[int, Verdict] = {0: "good", number - 1: "bad"}
    while (place := next_place(found := remaining(verdicts, number))) is not None:
        assert place not in verdicts
        verdicts[place] = "skipped" if place in skipped else "bad" if place >= first_bad else "good"
    return found.first_bad, found.is_exact, len(verdicts) - 2


@pytest.mark.parametrize("number", [2, 3, 8, 33])
def test_the_first_bad_kernel_is_found_in_few_steps(number: int) -> None:
    most = remaining({0: "good", number - 1: "bad"}, number).steps_left
    for first_bad in range(1, number):
        found, is_exact, steps = search(first_bad, number)
        assert (found, is_exact) == (first_bad, True)
        assert steps <= most
    assert 2**most >= number - 1


def test_kernels_that_cannot_be_judged_are_gone_around() -> None:
    number = 9
    for first_bad, skipped in itertools.product(range(1, number), itertools.combinations(range(1, number - 1), 2)):
        found, is_exact, _steps = search(first_bad, number, skipped)
        # Neither side of the change may have been skipped.
        assert is_exact == (first_bad not in skipped and first_bad - 1 not in skipped)
        assert found >= first_bad
        if is_exact:
            assert found == first_bad


NAMES = ["debian-12", "debian-13"]
EXPERIMENT = (EXPERIMENTS / "kernels.yaml").read_text().replace("  kernel: [debian-12, debian-13]\n", "")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    assert "kernel" not in EXPERIMENT.partition("name: kernels")[2]
    file = tmp_path / "kernels.yaml"
    file.write_text(EXPERIMENT)
    return file


def test_two_kernels_that_differ(engines: list[Engine], experiment: Path, lab_command: Lab, tmp_path: Path) -> None:
    command = ("bisect", experiment, "--good", "debian-12", "--kernels", "debian-12", "--bad", "debian-13")
    found = lab_command("bisect", experiment, "--good", "debian-12", "--bad", "debian-13", "--kernels", "x.deb")
    assert (found.code, "x.deb: there is no such file" in found.err) == (2, True)
    said = lab_command(*command, "--any-change")
    assert (said.code, said.lines[-1]) == (0, "debian-13"), said.err
    folder = tmp_path / "bisect" / "kernels"
    state = json.loads((folder / "bisect.json").read_text())
    assert {step["kernel"]: step["verdict"] for step in state["steps"]} == {"debian-12": "good", "debian-13": "bad"}
    page = (folder / "comparison.html").read_text()
    assert "side by side" in page
    # The same command again runs nothing, and another one does not mix with it.
    runs = sorted((folder / "runs" / "kernels").iterdir())
    assert lab_command(*command, "--any-change").lines[-1] == "debian-13"
    assert sorted((folder / "runs" / "kernels").iterdir()) == runs
    other = lab_command(*command, "--any-change", "--tolerance", "1%")
    assert (other.code, "another tolerance" in other.err) == (2, True)


def test_a_bad_kernel_that_is_not_bad(engines: list[Engine], experiment: Path, lab_command: Lab) -> None:
    command = ("bisect", experiment, "--good", "debian-12", "--kernels", "debian-13", "--bad", "debian-13")
    said = lab_command(*command, "--tolerance", "100%")
    assert (said.code, said.out) == (1, "")
    assert "debian-13 is good, not bad" in said.err


def test_it_goes_on_after_an_interruption(
    engines: list[Engine], experiment: Path, lab_command: Lab, tmp_path: Path
) -> None:
    whole = engines[0]

    def interrupt(directory: Path) -> None:
        raise KeyboardInterrupt

    command = (
        "bisect",
        experiment,
        "--good",
        "debian-12",
        "--kernels",
        "debian-12",
        "--bad",
        "debian-13",
        "--any-change",
    )
    engines[:] = [whole, Changing(interrupt)]
    assert lab_command(*command).code == 130
    state = json.loads((tmp_path / "bisect" / "kernels" / "bisect.json").read_text())
    assert [step["kernel"] for step in state["steps"]] == ["debian-12"]
    engines[:] = [whole]
    said = lab_command(*command)
    assert (said.code, said.lines[-1]) == (0, "debian-13")
    assert "debian-12: good, as found before" in said.err


def test_versions_come_from_the_archive(
    engines: list[Engine], experiment: Path, lab_command: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records of other kernels are missing, so that the first one already fails, and cannot be judged."""
    offered = [
        DebianKernel(name, "linux-image-1", version) for name, version in zip(NAMES, ("6.1-1", "6.12-1"), strict=True)
    ]
    monkeypatch.setattr("lab.engine.debian.range.offered", lambda _names, _progress: offered)
    said = lab_command("bisect", experiment, "--good", "debian-12", "--bad", "debian-13=6.12-1")
    assert said.code == 1
    assert "2 kernels, from debian-12=6.1-1 to debian-13=6.12-1" in said.err
    assert "debian-12=6.1-1 is skipped, not good: of 2 trials, 2 failed" in said.err
    said = lab_command("bisect", experiment, "--good", "debian-12", "--bad", "debian-13=6.13-1", "-o", "other")
    assert (said.code, "of debian-13, it offers 6.12-1" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--good", "uml-7.3", "--bad", "debian-13"), "--good: found 'uml-7.3'; expected debian-12"),
        (("--good", "debian-12", "--bad", "debian-14"), "--bad: found 'debian-14'"),
        (
            ("--good", "debian-12", "--bad", "debian-13", "--condition", "x", "--any-change"),
            "--condition: found it with",
        ),
        (("--good", "debian-12", "--bad", "debian-13", "--tolerance", "goodput=1%"), "--tolerance: found the metric"),
    ],
)
def test_options_that_cannot_be_used(
    experiment: Path, lab_command: Lab, options: tuple[str, ...], message: str
) -> None:
    said = lab_command("bisect", experiment, *options, "-o", "folder")
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    said = lab_command("bisect", EXPERIMENTS / "kernels.yaml", "--good", "debian-12", "--bad", "debian-13")
    assert (said.code, "found kernel in the matrix" in said.err) == (2, True)


def test_judges(engines: list[Engine], experiment: Path, lab_command: Lab) -> None:
    run, other = (Run(Path(lab_command("run", experiment, "--set", f"kernel={name}").lines[-1])) for name in NAMES)
    assert ComparisonJudge(Tolerances(0.01), any_change=True).judge(run, run).verdict == "good"
    found = ComparisonJudge(Tolerances(0.01), any_change=True).judge(other, run)
    assert found.verdict == "bad"
    assert "cc cubic" in found.why
    assert ComparisonJudge(Tolerances(1.0)).judge(other, run).verdict == "good"
    build_report(run.path)
    path = run.report_dir / "expectations.json"
    with pytest.raises(StoreError, match="expectations"):
        ConditionJudge().judge(run, run)
    for verdict, expected in (("met", "good"), ("not met", "bad"), ("cannot be judged", "skipped")):
        one = {"name": "a", "verdict": "met", "sentence": "found 1"}
        path.write_text(json.dumps({"format": 1, "expectations": [one, {**one, "verdict": verdict}]}))
        judgement = ConditionJudge().judge(run, run)
        assert judgement.verdict == expected
        assert "found 1" in judgement.why
    path.write_text(json.dumps({"format": 1, "expectations": []}))
    with pytest.raises(StoreError, match="has no expectations"):
        ConditionJudge().judge(run, run)
