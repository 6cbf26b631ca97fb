# SPDX-License-Identifier: Apache-2.0
"""The files that gradebooks import and people fill in."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError
from lab.grade.result.grade import GradeDocument, Manual
from lab.grade.result.manual import questions, read_manual
from lab.grade.result.overview import distributions, outliers, ranked
from lab.grade.result.roster import Roster, canvas_csv, moodle_csv, read_roster
from tests.unit.grade.classes import loaded_assignment


def grade(name: str, points: float = 7.5, **fields: Any) -> GradeDocument:
    criterion: dict[str, Any] = {
        "name": "goodput", "title": "Goodput", "kind": "scale", "scenario": "one", "hidden": False, "most": 10.0,
        "points": points, "verdict": "full" if points == 10 else "part" if points else "none", "observed": "7 Mbit/s",
        "full": "≥ 9 Mbit/s", "none": "", "margin": "", "where": "", "reason": "", "answer": "", "question": "",
        "because": "", "condition": "goodput", "figure": None, "cases": [],
    }  # fmt: skip
    found: Any = {
        "format": 1, "lab_version": "0", "assignment": {"name": "a", "title": "Assignment 1", "digest": "0"},
        "submission": {"name": name, "digest": "0", "files": {}, "ignored": []}, "status": "graded",
        "points": points, "most": 10.0, "messages": [], "criteria": [criterion], "scenarios": [], **fields,
    }  # fmt: skip
    return found  # type: ignore[no-any-return]


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


CANVAS_EXPORT = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Lab 0 (77)\n    Points Possible,,,,,5\n"
    '"Doe, Jane",123,S1,jdoe,A,4\n"Roe, Rick",124,S2,rroe,A,\n"Roe, Rita",125,S3,rita,B,\n'
)
MOODLE_EXPORT = (
    "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed\n"
    "Participant 12345,Jane Doe,jane@uni.example,Submitted,,10,Yes\n"
)


def test_canvas_gets_its_columns_and_the_points_possible(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(CANVAS_EXPORT)
    roster = read_roster(tmp_path / "roster.csv")
    names = ["doejane_123_9_my_cc.bpf.c", "aimd-rroe", "roerita", "nobody"]
    found = rows(canvas_csv([grade(name) for name in names], roster))
    assert found[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Assignment 1"]
    assert found[1] == ["    Points Possible", "", "", "", "", "10"]
    assert found[2] == ["Doe, Jane", "123", "S1", "jdoe", "A", "7.5"]
    assert found[3] == ["Roe, Rick", "124", "S2", "rroe", "A", "7.5"]
    assert found[4] == ["Roe, Rita", "125", "S3", "rita", "B", "7.5"]
    assert found[5][:2] == ["nobody", ""]
    alone = rows(canvas_csv([grade(names[0])], Roster()))
    assert alone[2] == ["doejane", "123", "", "", "", "7.5"]


def test_moodle_gets_the_columns_of_its_worksheet(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(MOODLE_EXPORT)
    roster = read_roster(tmp_path / "roster.csv")
    name = "Jane Doe_12345_assignsubmission_file"
    for known in (roster, Roster()):
        found = rows(moodle_csv([grade(name)], known))
        line = dict(zip(found[0], found[1], strict=True))
        assert line["Identifier"] == "Participant 12345"
        assert line["Full name"] == "Jane Doe"
        assert (line["Grade"], line["Maximum Grade"]) == ("7.5", "10")
        assert line["Feedback comments"].startswith("Goodput (7.5 of 10): Found 7 Mbit/s; all points are given for ≥ 9")
    assert dict(zip(found[0], found[1], strict=True))["Email address"] == ""


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    evil = '=HYPERLINK("https://evil.example","x")'
    for text in (canvas_csv([grade(evil)], Roster()), moodle_csv([grade(evil)], Roster())):
        assert all(not cell.startswith(("=", "@", "+")) for row in rows(text) for cell in row)


def test_a_file_that_is_no_roster_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"r\.csv:1: found the columns 'a, b'; expected one of SIS Login ID"):
        read_roster(tmp_path / "r.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "q.csv:1: found no column 'submission'"),
        ("submission,criterion,points\nada,wy,1\n", "q.csv:2: criterion: unknown question 'wy'; did you mean 'why'?"),
        ("submission,criterion,points\nada,why,9\n", "q.csv:2: points: found '9'; expected a number from 0 to 2"),
        ("submission,criterion,points\nada,why,x\n", "q.csv:2: points: found 'x'"),
        ("submission,criterion,points\nada,why,nan\n", "q.csv:2: points: found 'nan'"),
        ("submission,criterion,points\nada,why,1\nada,why,2\n", "q.csv:3: found points for why of 'ada' twice"),
        ("submission,criterion,points\nada,goodput,1\n", "q.csv:2: criterion: unknown question 'goodput'"),
    ],
)
def test_mistakes_in_a_persons_points_are_told(tmp_path: Path, text: str, message: str) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    (tmp_path / "q.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_manual(tmp_path / "q.csv", loaded)
    assert message in str(caught.value)


def test_a_persons_points_survive_a_round_trip(tmp_path: Path) -> None:
    loaded = loaded_assignment(tmp_path / "a")
    asked = grade('=ada, "A"\nB')
    asked["criteria"][0] |= {"name": "why", "kind": "question", "answer": "-1 + 1\nis 0", "most": 2.0}
    known = {asked["submission"]["name"]: {"why": Manual(1.5, '=good; "really"')}}
    path = tmp_path / "q.csv"
    path.write_text(questions([asked], known), newline="")
    assert read_manual(path, loaded) == known
    # Spreadsheets of some countries write semicolons and decimal commas.
    path.write_text("submission;criterion;points;comment\nada;why;1,5;good\n")
    assert read_manual(path, loaded) == {"ada": {"why": Manual(1.5, "good")}}


def test_equal_points_have_the_same_rank() -> None:
    found = ranked([grade("c", 5), grade("a", 9), grade("b", 5), grade("d", 1)])
    assert [(one.rank, one.grade["submission"]["name"]) for one in found] == [(1, "a"), (2, "b"), (2, "c"), (4, "d")]


def test_distributions_and_outliers() -> None:
    points = [0.0, 7.0, 7.5, 8.0, 8.5, 9.0, 10.0]
    grades = [grade(f"s{number}", value) for number, value in enumerate(points)]
    total, goodput = distributions(grades)
    assert total.bins == (1, 0, 0, 0, 0, 0, 0, 2, 2, 2)
    assert (goodput.full, goodput.nothing, goodput.median) == (1, 1, 8.0)
    assert [(one["submission"]["name"], why) for one, why in outliers(grades)] == [
        ("s0", "far fewer points than the others")
    ]
    everybody = distributions([grade(f"s{number}", 10.0) for number in range(6)])[1]
    assert everybody.remark == "everybody gets all points for it"


def test_what_does_not_compile_is_told_once_by_the_compilers_line() -> None:
    said = "my_cc.bpf.c:5:2: error: expected ';'"
    messages = [
        {"about": [name], "text": f"{name}.yaml:3:4: flows.mine.cc: it does not compile:\n{said}\n  x\n", "log": ""}
        for name in ("one", "two")
    ]
    found = grade("cleo", 0, messages=messages)
    assert outliers([found]) == [(found, said)]
    assert said in moodle_csv([found], Roster())
