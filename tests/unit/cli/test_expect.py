# SPDX-License-Identifier: Apache-2.0
"""Expectations on the command line: ``lab check``, ``lab run``, ``lab report`` and ``lab expect``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.engine.base import Engine
from tests.data.capture import EXPERIMENTS
from tests.unit.cli.conftest import Changing, Lab, provenance
from tests.unit.cli.test_verdict import another_mtu

UDP = (EXPERIMENTS / "udp.yaml").read_text()


def experiment(folder: Path, expected: Sequence[str]) -> Path:
    """Write an experiment whose trials have been captured, with these expectations."""
    path = folder / "expecting.yaml"
    path.write_text(UDP + "expect:\n" + "".join(f"  - {one}\n" for one in expected))
    return path


def test_check_names_file_line_and_field_and_the_nearest_name(lab_command: Lab, tmp_path: Path) -> None:
    path = experiment(
        tmp_path,
        [
            "gooput >= 1mbit",
            "goodput(flow=voce) > 0bit",
            "goodput(queu=pfifo) > 0bit",
            "goodput(queue=pffo) > 0bit",
            "{that: jain > 0, because: it is}",
            "{that: goodput > 1mbit, tolerance: 5ms}",
        ],
    )
    said = lab_command("check", path)
    assert said.code == 2
    of = ("topology.bottleneck.queue", "goodput(flow=voce) > 0bit")
    for number, message in enumerate(
        [
            "5: expect[0]: unknown metric 'gooput'; did you mean 'goodput'?; at character 1 of 'gooput >= 1mbit'",
            "5: expect[1]: found flow=voce; expected a flow or probe of the experiment (flood, voice); did you mean "
            f"'voice'?; at character 9 of '{of[1]}'",
            f"5: expect[2]: unknown selector 'queu'; expected an axis of the matrix ({of[0]}), flow, cc, mode or "
            "state; did you mean 'queue'?",
            f"5: expect[3]: found queue=pffo; expected a value of the axis {of[0]} (pfifo 20p, fq_codel 100p)",
            "12: expect[4].that: found jain without such a flow; expected a TCP flow, which has it",
            "40: expect[5].tolerance: found '5ms'; expected a percentage, such as 5%, or a rate, such as 10mbit",
        ]
    ):
        assert f"{path}:{UDP.count(chr(10)) + 2 + number}:{message}" in said.err
    said = lab_command("check", experiment(tmp_path, ["goodput > 1mbti"]))
    assert said.code == 2
    assert "expect[0]: found the unit 'mbti'; expected one of %, ns us ms" in said.err
    assert "did you mean 'mbit'?; at character 12 of 'goodput > 1mbti'" in said.err


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("5", "expect[0]: found 5; expected a condition, such as 'jain >= 0.95', or a mapping with 'that'"),
        ("{tat: goodput > 1mbit}", "expect[0]: unknown field 'tat'; did you mean 'that'?"),
        (
            "{that: goodput(flow=voice, queue=pfifo) > 1mbit}",
            "put the condition in quotes, because a comma ends a value between { and }",
        ),
    ],
)
def test_an_expectation_that_is_no_condition_is_refused(
    lab_command: Lab, tmp_path: Path, written: str, message: str
) -> None:
    said = lab_command("check", experiment(tmp_path, [written]))
    assert (said.code, message in said.err) == (2, True), said.err


def test_an_expectation_is_written_once(lab_command: Lab, tmp_path: Path) -> None:
    said = lab_command("check", experiment(tmp_path, ["goodput > 1bit", "goodput > 1bit"]))
    assert (
        "expect[1]: found 'goodput > 1bit' again, which expect[0] has as well; expected each of them once" in said.err
    )


def test_a_run_that_meets_all_of_them_succeeds_and_shows_them_first(
    engines: list[Engine], lab_command: Lab, tmp_path: Path
) -> None:
    path = experiment(
        tmp_path,
        [
            "goodput(flow=voice, queue=fq_codel) >= 0.9 * 96kbit",
            "{that: utilisation(queue=pfifo) in 90%..101%, name: The link is full, because: of it}",
        ],
    )
    said = lab_command("run", path)
    assert said.code == 0, said.err
    assert "met: goodput(flow=voice, queue=fq_codel) >= 0.9 * 96kbit\n    found 9" in said.err
    assert "met: The link is full\n    utilisation(queue=pfifo) in 90%..101%\n" in said.err
    assert "all 2 expectations are met" in said.err
    report = Path(said.lines[-1]) / "report"
    found = json.loads((report / "expectations.json").read_text())
    assert [one["verdict"] for one in found["expectations"]] == ["met", "met"]
    page, summary = (report / "index.html").read_text(), (report / "summary.md").read_text()
    assert "All 2 expectations are met." in page
    assert page.index("The link is full") < page.index('aria-label="Answer"')
    assert summary.splitlines()[2] == "**2 of 2 expectations met.**"
    # The report checks them again, and a quiet run says nothing of those that are met.
    assert lab_command("report", said.lines[-1]).code == 0
    assert "met" not in lab_command("run", path, "--quiet").err


def test_a_run_that_misses_one_exits_with_1_and_says_by_how_much(
    engines: list[Engine], lab_command: Lab, tmp_path: Path
) -> None:
    path = experiment(tmp_path, ["goodput(flow=voice) >= 1mbit", "goodput(flow=voice) > 0bit"])
    said = lab_command("run", path, "--quiet")
    assert said.code == 1
    run = said.lines[-1]
    lines = said.err.splitlines()
    assert lines[0] == "not met: goodput(flow=voice) >= 1mbit"
    assert "expected ≥ 1 Mbit/s, margin −" in lines[1]
    assert lines[-1] == f"lab: 1 of 2 expectations is not met; see {run}/report/index.html"
    assert lab_command("report", run).code == 1
    assert "1 of 2 expectations met." in (Path(run) / "report" / "index.html").read_text()


def test_expectations_have_no_effect_on_trials(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    first = lab_command("run", experiment(tmp_path, ["goodput > 0bit"]))
    again = lab_command("run", experiment(tmp_path, ["goodput(flow=voice) > 1bit"]), "--verbose")
    assert (first.code, again.code) == (0, 0)
    plans = [json.loads((Path(said.lines[-1]) / "plan.json").read_text()) for said in (first, again)]
    assert [plan.pop("expect") for plan in plans] == [["goodput > 0bit"], ["goodput(flow=voice) > 1bit"]]
    assert plans[0] == plans[1]
    assert all(trial["cached"] for trial in provenance(again.lines[-1])["trials"].values())


def test_invalid_trials_never_meet_an_expectation(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    engines[:] = [Changing(another_mtu)]
    path = experiment(tmp_path, ["goodput > 0bit", "goodput(queue=fq_codel) > 0bit"])
    for options in ([], ["--allow-invalid"]):
        said = lab_command("run", path, "--no-cache", *options)
        assert said.code == 1
        assert "cannot be judged: goodput > 0bit" in said.err
        assert " is invalid: MTU: expected 1500 B, found 1280 B" in said.err.replace("\n    ", " ")
        assert "lab: 2 of 2 expectations are not met" in said.err
        assert "lab: 2 of 4 trials are invalid" in said.err


def test_conditions_can_be_checked_on_an_old_run(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    run = lab_command("run", EXPERIMENTS / "udp.yaml").lines[-1]
    assert not (Path(run) / "report" / "expectations.json").exists()
    said = lab_command("expect", run)
    assert said.code == 2
    assert "its experiment expects nothing; name a file with 'expect:', or use --that" in said.err
    said = lab_command("expect", run, "--that", "goodput > 0bit", "--that", "goodput > 1gbit", "--json")
    assert said.code == 1
    assert json.loads(said.out)["counts"] == {"met": 1, "not met": 1, "cannot be judged": 0}
    # The report does not show these conditions.
    assert said.err.splitlines()[-1] == "lab: 1 of 2 expectations is not met"
    path = tmp_path / "later.yaml"
    path.write_text("expect:\n  - goodput(flow=voice) > 0bit\n")
    assert lab_command("expect", run, path).code == 0
    path.write_text("expect:\n  - goodput(flow=voise) > 0bit\n")
    said = lab_command("expect", run, path)
    assert said.code == 2
    assert f"{path}:2:5: expect[0]: found flow=voise; expected a flow or probe" in said.err
    assert lab_command("expect", run, "--that", "goodput >").code == 2
    assert lab_command("expect", run, path, "--that", "goodput > 0bit").code == 2
    path.write_text("- goodput > 0bit\n")
    assert "found a list; expected a mapping with 'expect:'" in lab_command("expect", run, path).err
