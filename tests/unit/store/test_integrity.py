# SPDX-License-Identifier: Apache-2.0
"""Whether a file in the cache is what was written, and when its content is read to find out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from lab.store import integrity, places
from lab.store.integrity import forget_checks, problem_in, sha256_of, write_list


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "made"
    made.mkdir()
    (made / "a").write_bytes(b"content")
    (made / "b").write_bytes(b"")
    write_list(made)
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose contents are read."""
    names: list[str] = []

    def noting(path: Path) -> str:
        names.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(integrity, "sha256_of", noting)
    return names


def test_contents_are_read_once_after_a_boot(folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem_in(folder, ["a"]) is None
    assert read == [], "what was just written is known to be right"
    boot = folder.with_name("boot_id")
    boot.write_text("another boot\n")
    monkeypatch.setattr(integrity, "_BOOT_ID", boot)
    for _ in range(2):
        assert problem_in(folder, ["a"]) is None
        assert read == ["a", "b"]
    forget_checks()
    assert problem_in(folder, ["a"]) is None
    assert read == ["a", "b"] * 2


def test_a_renamed_folder_is_still_known(folder: Path, read: list[str]) -> None:
    final = folder.with_name("final")
    write_list(folder, becomes=final)
    read.clear()
    folder.rename(final)
    assert problem_in(final, ["a"]) is None
    assert read == []


def test_a_change_is_found_even_if_it_keeps_size_and_time(folder: Path) -> None:
    found = (folder / "a").stat()
    (folder / "a").write_bytes(b"Content")
    os.utime(folder / "a", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert problem_in(folder, ["a"]) == "the content of a has changed (its SHA-256 is another one)"
    (folder / "a").write_bytes(b"content")
    assert problem_in(folder, ["a"]) is None


def test_sizes_are_compared_without_reading(folder: Path, read: list[str]) -> None:
    (folder / "a").write_bytes(b"cont")
    assert problem_in(folder, ["a"]) == "a has 4 bytes instead of 7"
    (folder / "a").unlink()
    assert problem_in(folder, ["a"]) == "a is missing"
    (folder / "a").symlink_to("b")
    assert problem_in(folder, ["a"]) == "a is not a regular file"
    assert read == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "files.json is damaged: Expecting value"),
        ("[]", "files.json is damaged: found no object"),
        ("{}", "files.json does not list a, b"),
        ('{"a": 1}', "files.json is damaged: the entry of 'a' is not a size and a digest"),
        ('{"a": {"bytes": true, "sha256": ""}}', "files.json is damaged: the entry of 'a'"),
        ('{"../a": {"bytes": 7, "sha256": ""}}', "files.json is damaged: the entry of '../a'"),
    ],
)
def test_a_damaged_list(folder: Path, text: str, problem: str) -> None:
    (folder / "files.json").write_text(text)
    assert (problem_in(folder, ["a", "b"]) or "").startswith(problem)
    (folder / "files.json").unlink()
    assert problem_in(folder, ["a"]) == "files.json is missing"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"boot": 1, "files": {}}', "null"])
def test_a_damaged_memory_only_costs_time(folder: Path, read: list[str], text: str) -> None:
    (note,) = places.checked().iterdir()
    assert json.loads(note.read_text())["folder"] == str(folder)
    note.write_text(text)
    assert problem_in(folder, ["a"]) is None
    assert read == ["a", "b"]


def test_a_cache_that_cannot_be_written_only_costs_time(folder: Path, read: list[str]) -> None:
    shutil.rmtree(places.checked())
    places.checked().write_text("a file in the place of the folder")
    for _ in range(2):
        assert problem_in(folder, ["a"]) is None
    assert read == ["a", "b"] * 2


@pytest.mark.parametrize("at", [None, 0, 5 << 20, (9 << 20) - 4])
def test_holes_count_as_zeros(tmp_path: Path, at: int | None) -> None:
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        if at is not None:
            file.seek(at)
            file.write(b"data")
        file.truncate(9 << 20)
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
