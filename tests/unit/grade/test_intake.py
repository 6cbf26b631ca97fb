# SPDX-License-Identifier: Apache-2.0
"""Submissions as files: whatever is handed in, nothing is written, followed or read without a limit."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.grade.assignment.schema import Assignment
from lab.grade.submission.intake import is_submission, read_class, read_submission

CODE = b"int main(void) { return 0; }\n"
SECRET = "the secret of the host"


@pytest.fixture
def assignment() -> Assignment:
    return Assignment.model_validate(
        {
            "name": "a",
            "title": "A",
            "submission": {
                "my_cc.bpf.c": {"kind": "congestion control", "most": "4KiB"},
                "answers.yaml": {"kind": "answers", "optional": True},
            },
            "scenarios": {"one": "one.yaml"},
            "rubric": {"x": {"points": 1, "question": "?"}},
            "limits": {"archive": "64KiB", "files": 20},
        }
    )


def zipped(files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _member: None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            change(member)
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred(
    files: dict[str, bytes], mode: str = "w", *members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return buffer.getvalue()


def test_a_file_a_folder_and_every_kind_of_archive_are_the_same(tmp_path: Path, assignment: Assignment) -> None:
    files = {"work/my_cc.bpf.c": CODE, "work/answers.yaml": b"a: 1\n", "work/notes.txt": b"?"}
    (tmp_path / "folder").mkdir()
    for name, content in files.items():
        (tmp_path / "folder" / Path(name).name).write_bytes(content)
    (tmp_path / "ada.zip").write_bytes(zipped(files))
    for mode, suffix in (("w", "tar"), ("w:gz", "tar.gz"), ("w:bz2", "tar.bz2"), ("w:xz", "tar.xz")):
        (tmp_path / f"ada.{suffix}").write_bytes(tarred(files, mode))
    found = [read_submission(path, assignment) for path in sorted(tmp_path.iterdir())]
    assert len(found) == 6
    assert all(one.files == {"my_cc.bpf.c": CODE, "answers.yaml": b"a: 1\n"} for one in found)
    assert {one.name for one in found} == {"ada", "folder"}
    assert all(not one.problems for one in found)
    assert len({one.digest for one in found}) == 1
    (tmp_path / "bob.bpf.c").write_bytes(CODE)
    single = read_submission(tmp_path / "bob.bpf.c", assignment)
    assert (single.name, single.files) == ("bob", {"my_cc.bpf.c": CODE})


@pytest.mark.parametrize(
    "name",
    [
        "doejane_123_456_my_cc.bpf.c",
        "doejane_LATE_1_2_my_cc-1.bpf.c",
        "my_cc (2).bpf.c",
        "other.bpf.c",
        "sub/my_cc.bpf.c",
    ],
)
def test_what_platforms_do_to_names_is_undone(tmp_path: Path, assignment: Assignment, name: str) -> None:
    path = tmp_path / "s" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(CODE)
    assert read_submission(tmp_path / "s", assignment).files == {"my_cc.bpf.c": CODE}


def test_an_archive_in_the_folder_of_a_student_is_opened(tmp_path: Path, assignment: Assignment) -> None:
    folder = tmp_path / "Jane Doe_1_assignsubmission_file"
    folder.mkdir()
    (folder / "work.zip").write_bytes(zipped({"my_cc.bpf.c": CODE}))
    assert read_submission(folder, assignment).files == {"my_cc.bpf.c": CODE}


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def _device(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    return member


def _sparse() -> bytes:
    """A tar archive with a file that claims 1 TiB without having any data."""
    member = tarfile.TarInfo("my_cc.bpf.c")
    member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "my_cc.bpf.c",
                          "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}  # fmt: skip
    return tarred({}, "w", member)


def _symlink_in_zip(member: zipfile.ZipInfo) -> None:
    member.create_system = 3
    member.external_attr = 0o120777 << 16


def _lying(data: bytes) -> bytes:
    """A ZIP archive whose directory says that its file is smaller than it is."""
    size = (100_000).to_bytes(4, "little")
    assert size in data
    return data.replace(size, (10).to_bytes(4, "little"))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "parent.zip": lambda: zipped({"../my_cc.bpf.c": CODE}),
    "deep parent.zip": lambda: zipped({"a/../../my_cc.bpf.c": CODE}),
    "absolute.zip": lambda: zipped({"/etc/my_cc.bpf.c": CODE}),
    "backslash.zip": lambda: zipped({"..\\my_cc.bpf.c": CODE}),
    "link.zip": lambda: zipped({"my_cc.bpf.c": b"/etc/passwd"}, _symlink_in_zip),
    "bomb.zip": lambda: zipped({"my_cc.bpf.c": b"\0" * (1 << 24)}),
    "lying.zip": lambda: _lying(zipped({"my_cc.bpf.c": b"x" * 100_000})),
    "many.zip": lambda: zipped({f"{number}.c": b"" for number in range(100)}),
    "twice.zip": lambda: zipped({"my_cc.bpf.c": CODE, "./my_cc.bpf.c": CODE}),
    "broken.zip": lambda: zipped({"my_cc.bpf.c": CODE})[:40],
    "parent.tar": lambda: tarred({"../my_cc.bpf.c": CODE}),
    "absolute.tar": lambda: tarred({"/tmp/my_cc.bpf.c": CODE}),
    "link.tar": lambda: tarred({}, "w", _link("my_cc.bpf.c", "/etc/passwd")),
    "hard link.tar": lambda: tarred({}, "w", _link("my_cc.bpf.c", "/etc/passwd", tarfile.LNKTYPE)),
    "device.tar": lambda: tarred({}, "w", _device("my_cc.bpf.c", tarfile.CHRTYPE)),
    "fifo.tar": lambda: tarred({}, "w", _device("my_cc.bpf.c", tarfile.FIFOTYPE)),
    "sparse.tar": _sparse,
    "bomb.tar.gz": lambda: tarred({"my_cc.bpf.c": b"\0" * (1 << 24)}, "w:gz"),
    "bomb.tar.xz": lambda: tarred({"other.txt": b"\0" * (1 << 24)}, "w:xz"),
    "bomb.tar.bz2": lambda: tarred({"other.txt": b"\0" * (1 << 24)}, "w:bz2"),
    "cut.tar.gz": lambda: tarred({"my_cc.bpf.c": CODE}, "w:gz")[:60],
    "header.tar": lambda: tarred({"a" * 100_000: CODE}),
    "long name.tar": lambda: tarred({"a" * 100_000: CODE}, "w", form=tarfile.GNU_FORMAT),
    "large": lambda: b"x" * 100_000,
    "large.bpf.c": lambda: CODE + b"/" * 5000,
    "empty.bpf": lambda: b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_submission_has_a_problem_and_no_files(tmp_path: Path, assignment: Assignment, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(HOSTILE[name]())
    found = read_submission(tmp_path / "in" / name, assignment)
    assert found.problems
    assert not found.files
    assert all(len(problem) < 400 and "root:" not in problem for problem in found.problems)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", name]


def test_links_and_fifos_in_a_folder_are_not_followed(tmp_path: Path, assignment: Assignment) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    kinds: dict[str, Callable[[Path], None]] = {
        "link": lambda path: path.symlink_to(tmp_path / "secret.txt"),
        "fifo": lambda path: os.mkfifo(path),
        "folder": lambda path: path.symlink_to(tmp_path),
    }
    for name, make in kinds.items():
        (tmp_path / name).mkdir()
        make(tmp_path / name / "my_cc.bpf.c")
        found = read_submission(tmp_path / name, assignment)
        assert found.problems, name
        assert not found.files
    (tmp_path / "itself").symlink_to(tmp_path / "secret.txt")
    assert read_submission(tmp_path / "itself", assignment).problems


def test_a_folder_that_is_too_deep_or_too_large_is_refused(tmp_path: Path, assignment: Assignment) -> None:
    deep = tmp_path / "deep" / Path(*["a"] * 12)
    deep.mkdir(parents=True)
    assert "nested" in read_submission(tmp_path / "deep", assignment).problems[0]
    (tmp_path / "many").mkdir()
    for number in range(30):
        (tmp_path / "many" / f"{number}.txt").touch()
    assert "more files" in read_submission(tmp_path / "many", assignment).problems[0]


def test_two_candidates_are_no_guess(tmp_path: Path, assignment: Assignment) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my_cc.bpf.c").write_bytes(CODE)
    (problem,) = read_submission(tmp_path, assignment).problems
    assert problem.startswith("found several files that could be my_cc.bpf.c ('a/my_cc.bpf.c', 'b/my_cc.bpf.c')")


def test_a_class_is_a_folder_of_submissions(tmp_path: Path, assignment: Assignment) -> None:
    for name in ("ada", "bob"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my_cc.bpf.c").write_bytes(CODE)
    (tmp_path / "carol.zip").write_bytes(zipped({"my_cc.bpf.c": CODE}))
    (tmp_path / ".DS_Store").touch()
    assert not is_submission(tmp_path, assignment)
    assert is_submission(tmp_path / "ada", assignment)
    assert [one.name for one in read_class(tmp_path, assignment)] == ["ada", "bob", "carol"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found an empty folder"):
        read_class(tmp_path / "empty", assignment)
