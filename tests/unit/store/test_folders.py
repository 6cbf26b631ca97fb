# SPDX-License-Identifier: Apache-2.0
"""Folders are complete or absent, even if processes are killed or several of them write at the same time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from lab.errors import StoreError
from lab.store.files import temporary_name, writing
from lab.store.folders import (
    OLD_S,
    by_last_use,
    finished_folders,
    folder_bytes,
    lock_in,
    new_folder,
    publish,
    remove_folder,
    remove_leftovers,
    scratch_folder,
    unfinished_folder,
)
from lab.store.owner import own_name
from tests.owners import dead_name


def made(final: Path, content: str, if_there: Literal["refuse", "replace", "keep"] = "refuse") -> None:
    """Create the folder *final* with a file that contains *content*."""
    with new_folder(final, if_there=if_there) as folder:
        (folder / "file").write_text(content)


def test_nothing_is_seen_before_it_is_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "final") as folder:
        (folder / "file").write_text("half")
        assert finished_folders(tmp_path) == []
    assert finished_folders(tmp_path) == [tmp_path / "final"]
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_an_error_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    made(tmp_path / "final", "old")
    with pytest.raises(UnicodeEncodeError):
        made(tmp_path / "final", "\ud800", "replace")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert (tmp_path / "final" / "file").read_text() == "old"


@pytest.mark.parametrize(("if_there", "content"), [("replace", "new"), ("keep", "old")])
def test_a_folder_that_is_there(tmp_path: Path, if_there: Literal["replace", "keep"], content: str) -> None:
    made(tmp_path / "final", "old")
    made(tmp_path / "final", "new", if_there)
    assert (tmp_path / "final" / "file").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_a_folder_that_must_not_be_there(tmp_path: Path) -> None:
    made(tmp_path / "final", "old")
    with pytest.raises(StoreError, match=r"cannot write .*final"):
        made(tmp_path / "final", "new")
    assert (tmp_path / "final" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


@pytest.mark.parametrize("if_there", ["replace", "keep"])
def test_many_put_the_same_folder_while_others_list_and_remove(
    tmp_path: Path, if_there: Literal["replace", "keep"]
) -> None:
    names = [f"entry-{number}" for number in range(4)]

    def put(number: int) -> None:
        made(tmp_path / names[number % 4], "x" * 1000, if_there)

    def look(number: int) -> None:
        for folder in by_last_use([tmp_path]):
            # A reader that opens the file while the folder is removed finds the complete file or no file.
            try:
                assert (folder / "file").read_text() == "x" * 1000
            except FileNotFoundError:
                assert number >= 0
            assert folder_bytes(folder) in (0, 1000)
        remove_folder(tmp_path / names[number % 4])

    with ThreadPoolExecutor(8) as threads:
        tasks = [threads.submit(put if number % 2 else look, number) for number in range(400)]
    for task in tasks:
        task.result()
    assert not list(tmp_path.glob(".tmp-*"))


def test_what_is_published_later_appears_under_its_final_name_at_once(tmp_path: Path) -> None:
    with unfinished_folder(tmp_path) as folder:
        (folder / "file").write_text("content")
        publish(folder, tmp_path / "digest")
    assert (tmp_path / "digest" / "file").read_text() == "content"
    assert [path.name for path in tmp_path.iterdir()] == ["digest"]


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead, living = tmp_path / f".tmp-{dead_name()}-x", temporary_name(tmp_path)
    file, link = (dead.with_name(f"{dead.name}{kind}") for kind in ("file", "link"))
    (dead / "below").mkdir(parents=True)
    living.mkdir()
    file.write_text("half")
    link.symlink_to("elsewhere")
    assert remove_leftovers(tmp_path) == []
    assert sorted(tmp_path.iterdir()) == [living]
    assert remove_leftovers(tmp_path / "missing") == []


@pytest.mark.parametrize("owner", [f"1-1-{'f' * 16}-x", f"999999999-{'a' * 12}"])
def test_leftovers_of_unknown_owners_stay_for_a_day_and_are_named(tmp_path: Path, owner: str) -> None:
    left = tmp_path / f".tmp-{owner}"
    (left / "trial").mkdir(parents=True)
    (left / "trial" / "log.txt").write_text("at work")
    old = time.time() - OLD_S - 60
    os.utime(left, (old, old))
    os.utime(left / "trial", (old, old))
    # A file in it was written a moment ago.
    assert [message.partition(":")[0] for message in remove_leftovers(tmp_path)] == [f"{left} stays"]
    assert left.exists()
    os.utime(left / "trial" / "log.txt", (old, old))
    assert [message.partition(":")[0] for message in remove_leftovers(tmp_path)] == [f"{left} has been removed"]
    assert not left.exists()


def test_what_is_not_lab_s_stays_however_old_it_is(tmp_path: Path) -> None:
    (tmp_path / ".tmp-notes").write_text("mine")
    os.utime(tmp_path / ".tmp-notes", (0, 0))
    assert remove_leftovers(tmp_path) == []
    assert (tmp_path / ".tmp-notes").exists()


def test_a_killed_process_leaves_scratch_to_the_next_one(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib, signal; from lab.store.folders import scratch_folder\n"
        "with scratch_folder('test', print, pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'file').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("lab-test-")
    other, own = tmp_path / "lab-testing-me", tmp_path / f"lab-test-{own_name()}-x"
    other.mkdir()
    own.mkdir()
    said: list[str] = []
    with scratch_folder("test", said.append, tmp_path) as folder:
        assert sorted(tmp_path.iterdir()) == sorted([folder, other, own])
    assert (sorted(tmp_path.iterdir()), said) == (sorted([other, own]), [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of another user")
def test_in_a_folder_for_all_users_those_of_others_stay(tmp_path: Path) -> None:
    left = tmp_path / f"lab-test-{dead_name()}-x"
    left.mkdir()
    os.chown(left, 12345, 12345)
    tmp_path.chmod(0o1777)
    with scratch_folder("test", print, tmp_path):
        assert left.exists()
    tmp_path.chmod(0o700)
    with scratch_folder("test", print, tmp_path):
        assert not left.exists()


def test_the_order_of_last_use(tmp_path: Path) -> None:
    for number, name in enumerate(("oldest", "newest", "middle")):
        made(tmp_path / name, name)
        os.utime(tmp_path / name, (0, [100, 300, 200][number]))
    assert [path.name for path in by_last_use([tmp_path])] == ["newest", "middle", "oldest"]


def test_a_lock_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write the cache .*Not a directory; set LAB_CACHE to another folder"):
        lock_in(tmp_path / "file" / "locks", "image")


def test_an_error_elsewhere_is_not_said_to_be_one_of_the_target(tmp_path: Path) -> None:
    missing = tmp_path / "other" / "read.txt"
    with pytest.raises(StoreError) as caught, writing(tmp_path / "made" / "final"):
        missing.read_bytes()
    assert str(caught.value) == f"cannot write {tmp_path}/made/final: {missing}: No such file or directory"


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "Disk quota exceeded")]
)
def test_a_full_disk_and_a_used_up_quota_are_told_apart(tmp_path: Path, number: int, reason: str) -> None:
    with pytest.raises(StoreError) as caught, writing(tmp_path / "final"):
        raise OSError(number, os.strerror(number), str(tmp_path / "final"))
    assert str(caught.value) == f"cannot write {tmp_path}/final: {reason}; free some space and repeat the command"
