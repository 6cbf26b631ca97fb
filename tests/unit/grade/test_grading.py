# SPDX-License-Identifier: Apache-2.0
"""Grading from the submission to the files, with captured trials."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.grade.classroom import grade_submissions, manual_points
from lab.grade.grading import Options, grade_all
from lab.grade.result.grade import GradeDocument, Manual
from lab.grade.result.outputs import write_grade
from lab.grade.result.roster import Roster
from lab.grade.submission.intake import Submission, read_class
from tests.unit.conftest import no_step
from tests.unit.grade.classes import ASSIGNMENT, HIDDEN, STARTER, loaded_assignment

ANSWERS = b"rate: 4mbit\nbetter: ' bbr '\nwhy: because <script>alert(1)</script> it ignores losses\n"


def graded(loaded: Any, options: Options, *submissions: Submission, **manual: Any) -> list[GradeDocument]:
    return grade_all(
        loaded, submissions, manual, options, lambda student, grade: _written(options, student, grade), no_step
    )


def _written(options: Options, student: Any, grade: GradeDocument) -> None:
    write_grade(options.output, student, grade)


def points_of(grade: GradeDocument) -> dict[str, float]:
    return {one["name"]: one["points"] for one in grade["criteria"]}


def test_points_follow_what_was_measured(tmp_path: Path, options: Options) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    (grade,) = graded(loaded, options, Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": ANSWERS}))
    found = points_of(grade)
    assert found["met"] == 2
    assert found["rate"] == 1
    assert found["better"] == 1
    assert 0 < found["goodput"] < 6
    assert found["goodput"] == round(found["goodput"], 2)
    assert (grade["status"], grade["most"], grade["messages"]) == ("waiting", 12, [])
    assert grade["points"] == pytest.approx(sum(found.values()))
    why = grade["criteria"][-1]
    assert (why["verdict"], why["answer"]) == ("waiting", "because <script>alert(1)</script> it ignores losses")
    # The worst of the cells with bbr decides, and its share is on the line between the two ends.
    goodput = grade["criteria"][0]
    shares = [case["share"] for case in goodput["cases"]]
    assert shares == sorted(shares)
    assert len(shares) == 3
    assert found["goodput"] == pytest.approx(6 * shares[0], abs=0.005)


def test_a_second_time_nothing_runs_and_all_bytes_are_the_same(
    tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    ada = Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": ANSWERS})
    graded(loaded, options, ada)
    folder = options.output / "students" / "ada"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == {"index.html", "grade.json", "junit.xml"}
    elsewhere = replace(options, output=tmp_path / "elsewhere", read_cache=False)
    graded(loaded, elsewhere, ada)
    again = {path.name: path.read_bytes() for path in (elsewhere.output / "students" / "ada").iterdir()}
    assert again == before

    async def nothing(tasks: Any, *_more: Any) -> None:
        assert not tasks

    monkeypatch.setattr("lab.grade.grading.run_tasks", nothing)
    graded(loaded, options, ada)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_submission_or_assignment_is_graded_anew(tmp_path: Path, options: Options) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    ada = Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": ANSWERS})
    wrong = Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": b"rate: 5mbit\n"})
    (first,), (second,) = graded(loaded, options, ada), graded(loaded, options, wrong)
    assert (points_of(first)["rate"], points_of(second)["rate"]) == (1, 0)
    stricter = loaded_assignment(tmp_path / "b", ASSIGNMENT.replace("1.1 *", "2 *"))
    (third,) = graded(stricter, options, ada)
    assert points_of(third)["goodput"] < points_of(first)["goodput"]


def test_another_bundle_is_graded_anew_and_a_missing_one_is_not_the_students_fault(
    tmp_path: Path, options: Options
) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    ada = Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": ANSWERS})
    (before,) = graded(loaded, options, ada)
    (after,) = graded(loaded, replace(options, bundles={"debian-13": "0" * 64}), ada)
    assert (before["status"], after["status"]) == ("waiting", "incomplete")
    assert "the bundle of the scenario is no longer in the cache" in after["messages"][0]["text"]


def test_a_person_gives_points_for_answers(tmp_path: Path, options: Options) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    ada = Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": ANSWERS})
    (grade,) = graded(loaded, options, ada, ada={"why": Manual(1.5, "nearly")})
    assert grade["status"] == "graded"
    assert grade["criteria"][-1]["points"] == 1.5
    assert grade["criteria"][-1]["reason"] == "nearly"
    assert "nearly" in (options.output / "students" / "ada" / "index.html").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("duration: 1s\n", "mine.yaml:1:1: duration: found a field that may not be changed; expected only "),
        ("flows: {bulk: {cc: reno}}\n", "mine.yaml:1:16: flows.bulk.cc: found a field that may not be changed"),
        ("a: [\n", "mine.yaml:"),
        ("- 1\n", "mine.yaml:1:1: found"),
        ("matrix: {flows.bulk.cc: [../../etc/passwd.bpf.c]}\n", "expected no path that leads out"),
        ("\xff", "mine.yaml:1:1: found byte 0xff; expected text in UTF-8"),
    ],
)
def test_what_may_not_be_changed_gives_no_points_and_a_message(
    tmp_path: Path, options: Options, text: str, message: str
) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    (grade,) = graded(loaded, options, Submission("eve", {"mine.yaml": text.encode("latin-1")}))
    assert grade["points"] == 0
    assert any(message in one["text"] for one in grade["messages"]), grade["messages"]
    assert str(tmp_path) not in json.dumps(grade)


def test_a_scenario_that_cannot_be_run_says_why_without_paths_of_this_machine(tmp_path: Path, options: Options) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    text = b"matrix: {flows.bulk.cc: [cubic, nonsense9]}\n"
    (grade,) = graded(loaded, options, Submission("bob", {"mine.yaml": text, "answers.yaml": ANSWERS}))
    # There is no record of this algorithm, so that its trials fail; the others have been played back.
    assert points_of(grade)["better"] == 1
    assert points_of(grade)["goodput"] == 0
    assert grade["messages"]
    assert str(tmp_path) not in json.dumps(grade)


def test_a_class_has_its_pages_and_files(tmp_path: Path, options: Options) -> None:
    loaded = loaded_assignment(tmp_path / "a", hidden=HIDDEN)
    handed = tmp_path / "handed"
    for name, answers in {"ada": ANSWERS, "bob <b>": b"rate: 3mbit\n", "=cmd": b"better: cubic\n"}.items():
        (handed / name).mkdir(parents=True)
        (handed / name / "mine.yaml").write_text(STARTER)
        (handed / name / "answers.yaml").write_bytes(answers)
    (handed / "carol").mkdir()
    done: list[GradeDocument] = []
    submissions = read_class(handed, loaded.assignment)
    grades = grade_submissions(loaded, submissions, options, {}, Roster(), done.append, no_step)
    assert len(done) == len(grades) == 4
    output = options.output
    assert {path.name for path in output.iterdir() if not path.name.startswith(".")} == {
        "index.html", "leaderboard.html", "canvas.csv", "moodle.csv", "questions.csv", "grades.json",
        "students", "work",
    }  # fmt: skip
    page = (output / "index.html").read_text()
    assert "bob &lt;b&gt;" in page
    assert "<b>" not in page
    assert "found no mine.yaml; expected it in the submission" in page
    assert "bob &lt;b&gt;" in (output / "leaderboard.html").read_text()
    # What one student sees says nothing of another, and nothing of where this machine keeps its files.
    own = (output / "students" / "ada" / "index.html").read_text()
    assert "bob" not in own
    assert "carol" not in own
    assert str(tmp_path) not in own
    assert "<script>alert(1)</script>" not in own
    assert "&lt;script&gt;" in own
    assert "'=cmd" in (output / "canvas.csv").read_text()
    carol = next(grade for grade in grades if grade["submission"]["name"] == "carol")
    assert carol["points"] == 0
    assert {one["verdict"] for one in carol["criteria"]} == {"failed"}


def test_points_in_the_file_of_questions_count_the_next_time(tmp_path: Path, options: Options) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    ada = Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": ANSWERS})
    grade_submissions(loaded, [ada], options, {}, Roster(), lambda _grade: None, no_step)
    path = options.output / "questions.csv"
    lines = path.read_text().splitlines()
    assert lines[1].startswith("ada,why,2,,,Why is it better?,because")
    path.write_text("\n".join([lines[0], lines[1].replace("why,2,,", "why,2,1.5,well read")]) + "\n")
    known = manual_points(loaded, options.output, None)
    (grade,) = grade_submissions(loaded, [ada], options, known, Roster(), lambda _grade: None, no_step)
    assert (grade["status"], grade["criteria"][-1]["points"]) == ("graded", 1.5)
    assert "why,2,1.5,well read" in path.read_text()


def test_junit_has_a_test_for_each_criterion(tmp_path: Path, options: Options) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    answers = b'rate: 3mbit\nwhy: "\\x01 is no character of XML"\n'
    (grade,) = graded(loaded, options, Submission("ada", {"mine.yaml": STARTER.encode(), "answers.yaml": answers}))
    suite = ElementTree.parse(options.output / "students" / "ada" / "junit.xml").getroot()[0]
    assert suite.get("tests") == str(len(grade["criteria"]))
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["Goodput", "Rate", "Better"]
    assert suite.get("failures") == "3"
    assert [case.get("name") for case in suite.iter("testcase") if case.find("skipped") is not None] == ["Why"]
