# SPDX-License-Identifier: Apache-2.0
"""Mistakes in an assignment: each has file, line, column and field, and says what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InputError, SpecError
from lab.grade.assignment.check import check_assignment
from lab.grade.assignment.read import read_assignment
from tests.unit.grade.classes import ASSIGNMENT, HIDDEN, write_assignment

MISTAKES = [
    ("points: 6", "points: -6",
     "assignment.yaml:10:13: rubric.goodput.points: found -6; expected more than 0"),
    ("points: 6", "point: 6",
     "assignment.yaml:10:5: rubric.goodput: unknown field 'point'; did you mean 'points'?"),
    ("    scenario: loss\n    value: g", "    value: g",
     "rubric.goodput: 'scenario' is missing, which a value on a scale"),
    ("    none: 0.1 * link.rate\n", "",
     "assignment.yaml:9:3: rubric.goodput: 'none' is missing, which a value on a scale needs"),
    ("scenario: loss\n    value: g", "scenario: los\n    value: g",
     "rubric.goodput.scenario: unknown scenario 'los'; did you mean 'loss'?"),
    ("value: goodput(cc=bbr)", "value: gooput(cc=bbr)",
     "rubric.goodput.full: unknown metric 'gooput'; did you mean 'goodput'?"),
    ("value: goodput(cc=bbr)", "value: goodput(cc=vegas)",
     "rubric.goodput.full: found"),
    ("full: 1.1 * link.rate", "full: 20ms",
     "rubric.goodput.full: found 20ms, which is a duration, such as 60ms; expected a rate"),
    ("that: goodput(cc=bbr, loss=2%) >= goodput(cc=cubic)", "that: goodput >=",
     "rubric.met.that: found the end; expected"),
    ("full: 1%", "full: 4mbit",
     "rubric.rate.full: found '4mbit'; expected an error as a percentage"),
    ("kind: experiment, may_change: [matrix.flows.bulk.cc, title, report]", "kind: experiment",
     "submission.mine.yaml: 'may_change' is missing"),
    ("kind: answers, optional: true", "kind: answer",
     "submission.answers.yaml.kind: found 'answer'"),
    ("loss: scenarios/loss.yaml", "loss: scenarios/lost.yaml",
     "scenarios.loss: found 'scenarios/lost.yaml', which is not there"),
    ("loss: scenarios/loss.yaml", "loss: ../../etc/passwd",
     "scenarios.loss: found '../../etc/passwd'; expected the path of a file below"),
    ("mine.yaml: {", "other.yaml: {",
     "submission.other.yaml: found no file other.yaml in the folder of the assignment"),
    ("question: Why is it better?", "because: nothing",
     "rubric.why: found no field that says what points are given for"),
    ("choice: BBR", "choice: BBR\n    that: jain > 0",
     "rubric.better: found 'that', which an answer with a right choice does not have"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ASSIGNMENT
    folder = write_assignment(tmp_path / "a", ASSIGNMENT.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        check_assignment(read_assignment(folder), _empty(tmp_path))
    assert message in str(caught.value), str(caught.value)
    for line in str(caught.value).splitlines():
        assert line.startswith((str(folder / "assignment.yaml") + ":", "    "))


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "stage").mkdir()
    return tmp_path / "stage"


def test_a_good_assignment_has_experiments_for_all_scenarios(tmp_path: Path) -> None:
    loaded = read_assignment(write_assignment(tmp_path / "a", hidden=HIDDEN))
    assert check_assignment(loaded, _empty(tmp_path)).keys() == {"loss", "again"}
    assert loaded.hidden == {"again", "secret"}
    assert loaded.most_points == 15


def test_the_hidden_part_may_be_elsewhere(tmp_path: Path) -> None:
    folder = write_assignment(tmp_path / "a", hidden=HIDDEN)
    (folder / "teacher").rename(tmp_path / "secret")
    assert read_assignment(folder).hidden == frozenset()
    loaded = read_assignment(folder, tmp_path / "secret")
    assert check_assignment(loaded, _empty(tmp_path)).keys() == {"loss", "again"}


def test_a_mistake_in_the_hidden_part_names_its_file(tmp_path: Path) -> None:
    folder = write_assignment(tmp_path / "a", hidden=HIDDEN.replace("goodput(cc=cubic)", "gooput"))
    with pytest.raises(SpecError, match=r"teacher/hidden\.yaml:7:11: rubric\.secret\.that: unknown metric 'gooput'"):
        check_assignment(read_assignment(folder), _empty(tmp_path))


def test_a_name_may_not_be_used_twice(tmp_path: Path) -> None:
    folder = write_assignment(tmp_path / "a", hidden=HIDDEN.replace("secret", "goodput"))
    with pytest.raises(SpecError, match=r"hidden\.yaml:4:3: rubric\.goodput: found 'goodput', which"):
        read_assignment(folder)


def test_a_folder_without_an_assignment_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no assignment\.yaml"):
        read_assignment(tmp_path)


def test_the_reference_solution_is_never_laid_out(tmp_path: Path) -> None:
    folder = write_assignment(tmp_path / "a", hidden=HIDDEN)
    (folder / "teacher" / "reference").mkdir()
    (folder / "teacher" / "reference" / "mine.yaml").write_text("solution")
    loaded = read_assignment(folder)
    assert not any("reference" in name for name in loaded.files)
    check_assignment(loaded, stage := _empty(tmp_path))
    assert not any("reference" in path.relative_to(stage).parts for path in stage.rglob("*"))


MODULES = """\
name: modules
title: Modules
submission:
  tcp_mine.c: {kind: congestion control}
scenarios:
  alone: alone.yaml
rubric:
  goodput: {points: 1, scenario: alone, that: goodput > 1mbit}
"""


def test_modules_have_to_be_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "handout.md").write_text("# Modules\n")
    (folder / "tcp_mine.c").write_text("int x;\n")
    (folder / "alone.yaml").write_text(
        "name: alone\ntopology: {kind: dumbbell, bottleneck: {rate: 10mbit, delay: 25ms}}\n"
        "flows: {bulk: {from: s1, to: d1, cc: {name: mine, module: tcp_mine.c}}}\nengine: vm\nduration: 2s\n"
    )
    (folder / "assignment.yaml").write_text(MODULES)
    with pytest.raises(SpecError) as caught:
        check_assignment(read_assignment(folder), _empty(tmp_path))
    assert "scenarios.alone: found a congestion control that is a kernel module" in str(caught.value)
    assert "set 'interfaces: {modules: true}' to allow them" in str(caught.value)
    (folder / "assignment.yaml").write_text(f"{MODULES}interfaces: {{modules: true}}\n")
    (tmp_path / "again").mkdir()
    assert check_assignment(read_assignment(folder), tmp_path / "again").keys() == {"alone"}
