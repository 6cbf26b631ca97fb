# SPDX-License-Identifier: Apache-2.0
"""The commands `lab grade` and `lab handout`, with captured trials."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.app import main
from lab.grade.assignment.json_schema import SCHEMA_FILE, assignment_schema_text
from lab.grade.grading import Options
from tests.unit.grade.classes import ASSIGNMENT, HIDDEN, STARTER, write_assignment

ASSIGNMENTS = Path(__file__).parents[3] / "assignments"


@pytest.fixture
def folder(tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an assignment; nothing has to be built for it."""
    assert options is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab.grade.grading.prepare", lambda *_arguments: {})
    return write_assignment(tmp_path / "a", hidden=HIDDEN)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_an_assignment_is_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _err = run(capsys, "grade", folder)
    assert code == 0
    assert out.splitlines()[0] == "lossy_link: A lossy link"
    assert out.splitlines()[-1].split() == ["total", "15"]
    (folder / "assignment.yaml").write_text(ASSIGNMENT.replace("points: 6", "points: six"))
    code, _out, err = run(capsys, "grade", folder)
    assert code == 2
    assert "assignment.yaml:10:13: rubric.goodput.points: found 'six'; expected a number" in err


def test_one_submission(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = tmp_path / "output"
    code, out, err = run(capsys, "grade", folder, folder / "mine.yaml", "-o", "g", "--classroom", result)
    assert (code, out) == (0, "g/students/mine/index.html\n")
    assert "Goodput" in err
    assert "read by a person" not in err, "there is no answer that a person could read"
    grade = json.loads(Path("g/students/mine/grade.json").read_text())
    found = json.loads(base64.b64decode(result.read_text().removeprefix("result=")))
    assert (found["status"], found["max_score"]) == ("pass", 15)
    assert sum(one["score"] for one in found["tests"]) == pytest.approx(grade["points"])
    assert run(capsys, "grade", folder, folder / "mine.yaml", "-o", "g", "-q", "--min-points", "10%")[0] == 0
    assert run(capsys, "grade", folder, folder / "mine.yaml", "-o", "g", "-q", "--min-points", "15")[0] == 1
    code, out, _err = run(capsys, "grade", folder, "--starter", "-o", "g", "-q", "--json")
    assert json.loads(out)["points"] == grade["points"]


def test_a_class(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ada", "bob"):
        Path("in", name).mkdir(parents=True)
        Path("in", name, "mine.yaml").write_text(STARTER)
    Path("in", "bob", "mine.yaml").write_text("duration: 1s\n")
    code, out, err = run(capsys, "grade", folder, "in")
    assert (code, out) == (0, "grades/lossy_link/index.html\n")
    assert "bob: 0 of 15 points (mine.yaml:1:1: duration: found a field that may not be changed" in err
    assert "2 submissions have" in err
    Path("roster.csv").write_text("Student,ID,SIS User ID,SIS Login ID,Section\nAda,1,,ada,\n")
    _code, _out, err = run(capsys, "grade", folder, "in", "--roster", "roster.csv")
    assert "lab: bob is not in roster.csv" in err
    assert "Ada,1,,ada,," in Path("grades/lossy_link/canvas.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere: found no assignment.yaml"),
        (("A", "nowhere"), "nowhere: there is no such file or folder"),
        (("A", "A/mine.yaml", "--starter"), "found more than one of a submission, --starter and --reference"),
        (("A", "--reference"), "found no folder with a reference solution"),
        (("A", "--starter", "--min-points", "many"), "--min-points: found 'many'; expected a number of points"),
        (("A", "--starter", "--tournament"), "--tournament: found an assignment without 'tournament:'"),
        (("A", "--starter", "--hidden", "A/scenarios"), "found no hidden.yaml"),
    ],
)
def test_mistakes_on_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run(capsys, "grade", *(one.replace("A", str(folder), 1) for one in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("grades").exists()


def test_a_handout_has_what_to_hand_in_and_the_points(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "handout.md").write_text(
        "# Title\n\n## A part\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![x](p.svg)\n"
    )
    code, _out, err = run(capsys, "handout", folder)
    assert code == 2
    assert "handout.md: found the picture p.svg, which is no file" in err
    (folder / "p.svg").write_text("<svg/>")
    assert run(capsys, "handout", folder)[:2] == (0, "lossy_link.html\n")
    page = Path("lossy_link.html").read_text()
    assert '<h2 id="a-part">' in page
    assert "<script>alert" not in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert "matrix.flows.bulk.cc" in page
    assert "Criteria that are not told before" in page
    assert "secret" not in page
    assert "BBR" not in page
    assert run(capsys, "handout", folder, "-o", "x.doc")[0] == 2


def test_a_handout_as_pdf(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("weasyprint") is not None:
        assert run(capsys, "handout", folder, "-o", "x.pdf")[0] == 0
        assert Path("x.pdf").read_bytes().startswith(b"%PDF")
    monkeypatch.setenv("PATH", "/nonexistent")
    code, _out, err = run(capsys, "handout", folder, "-o", "y.pdf")
    assert code == 3
    assert "install Debian's package weasyprint" in err


@pytest.mark.parametrize("options", [(), ("--from", "uni/networks")])
def test_the_workflow_of_a_classroom(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    code, out, _err = run(capsys, "init-ci", "classroom", "--assignment", folder.name, *options)
    assert (code, out) == (0, ".github/workflows/classroom.yml\n")
    path = Path(out.strip())
    place = f".assignment/{folder.name}" if options else folder.name
    assert f'lab grade {place} . --output grades --classroom "$GITHUB_OUTPUT"' in path.read_text()
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert run(capsys, "init-ci", "classroom", "--assignment", "nowhere")[0] == 2
    assert run(capsys, "init-ci", "classroom", "--from", "no repository")[0] == 2
    assert run(capsys, "init-ci", "github", "--from", "uni/networks")[0] == 2


def test_the_schema_is_current_and_the_shipped_assignments_follow_it() -> None:
    assert SCHEMA_FILE.read_text() == assignment_schema_text()
    files = [str(path) for path in sorted(ASSIGNMENTS.glob("*/assignment.yaml"))]
    assert len(files) == 5
    check = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA_FILE), *files]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in ASSIGNMENTS.iterdir()))
def test_a_shipped_assignment_can_be_used(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "grade", ASSIGNMENTS / name)[0] == 0
    assert run(capsys, "handout", ASSIGNMENTS / name, "-o", tmp_path / "h.html")[0] == 0
