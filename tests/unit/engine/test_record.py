# SPDX-License-Identifier: Apache-2.0
"""Check how a record is taken from a guest, which may have run untrusted code."""

from __future__ import annotations

import io
import mmap
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine.uml import engine as uml
from lab.engine.uml.zygote import Child
from lab.engine.vm.engine import _take_record
from lab.engine.vm.machine import Machine
from lab.errors import GuestError
from lab.job.folder import SharedFolder
from lab.job.mailbox import Mailbox, State


class Stopped(Machine):
    """A machine with only the attributes that :func:`_take_record` uses."""

    def __init__(self, mailbox: Mailbox, console: Path) -> None:
        self.mailbox, self.console = mailbox, console


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Stopped]:
    with mmap.mmap(-1, (4 << 20) + (1 << 20)) as memory:
        mailbox = Mailbox(memory)
        mailbox.initialise(b"{}")
        mailbox.state = State.DONE
        yield Stopped(mailbox, tmp_path / "console.log")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    folder = tmp_path / "outer" / "record"
    folder.mkdir(parents=True)
    return folder


def archive(*members: tuple[str, bytes | None, bytes]) -> bytes:
    """Return a tar archive of entries that are given as (name, content or None, type)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
    return out.getvalue()


def test_files_and_folders_come_out(guest: Stopped, record: Path) -> None:
    guest.mailbox.write(
        archive(
            ("record.json", b"{}", tarfile.REGTYPE),
            ("iperf3", None, tarfile.DIRTYPE),
            ("iperf3/a.json", b"[]", tarfile.REGTYPE),
        )
    )
    _take_record(guest, record)
    found = {path.relative_to(record).as_posix(): path.read_bytes() for path in record.rglob("*") if path.is_file()}
    assert found == {"record.json": b"{}", "iperf3/a.json": b"[]"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", tarfile.REGTYPE),
        ("a/../../evil", tarfile.REGTYPE),
        ("/tmp/evil-of-lab", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("device", tarfile.CHRTYPE),
        ("fifo", tarfile.FIFOTYPE),
    ],
)
def test_nothing_else_does(guest: Stopped, record: Path, name: str, kind: bytes) -> None:
    guest.mailbox.write(archive((name, b"x" if kind == tarfile.REGTYPE else None, kind)))
    with pytest.raises(GuestError, match=r"record cannot be read: .* does not belong in a record"):
        _take_record(guest, record)
    assert not list(record.parent.rglob("evil*"))
    assert not Path("/tmp/evil-of-lab").exists()
    assert list(record.iterdir()) == []


def header(name: str, kind: bytes, size: int) -> bytes:
    """Return the header of a member that claims to have *size* bytes, in GNU's format."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def sparse(real_size: int) -> bytes:
    """Return a sparse file of GNU's old format that claims to have *real_size* bytes, but has none."""
    found = bytearray(header("big", tarfile.GNUTYPE_SPARSE, 0))
    found[483:495] = b"%011o\0" % real_size
    found[148:156] = b" " * 8
    found[148:156] = b"%06o\0 " % sum(found)
    return bytes(found) + bytes(1024)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (sparse(8 << 30), "a header for sparse files, which is not accepted"),
        (header("pax", tarfile.XHDTYPE, 512) + b"28 GNU.sparse.numblocks=999\n".ljust(512, b"\0"), "pax headers"),
        (header("././@LongLink", tarfile.GNUTYPE_LONGNAME, 1 << 33), "a name has 8589934592 bytes"),
        (archive(("a", b"x", tarfile.REGTYPE), ("a/b", b"x", tarfile.REGTYPE)), "'a/b' does not belong in a record"),
        (archive(("a", b"x", tarfile.REGTYPE), ("a", b"x", tarfile.REGTYPE)), "'a' does not belong in a record"),
        (archive(("a/b", b"x", tarfile.REGTYPE), ("a", b"x", tarfile.REGTYPE)), "'a' does not belong in a record"),
        (archive(("a", b"x", tarfile.REGTYPE), ("a", None, tarfile.DIRTYPE)), "'a' does not belong in a record"),
        (archive((".", b"x", tarfile.REGTYPE)), r"'\.' does not belong in a record"),
    ],
)
def test_what_claims_more_than_it_has(guest: Stopped, record: Path, content: bytes, reason: str) -> None:
    guest.mailbox.write(content)
    with pytest.raises(GuestError, match=rf"record cannot be read: .*{reason}"):
        _take_record(guest, record)
    assert sum(path.stat().st_size for path in record.rglob("*") if path.is_file()) <= 1


def test_a_state_that_means_nothing(guest: Stopped, record: Path) -> None:
    guest.mailbox.state = 77  # type: ignore[assignment]
    with pytest.raises(GuestError, match="the agent's state cannot be read: 77 is not a valid State"):
        _take_record(guest, record)


@pytest.fixture
def shared(tmp_path: Path) -> SharedFolder:
    """The folder of an instance of User-mode Linux that has written its record."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "state").write_text("DONE\n")
    return SharedFolder(folder)


def take_shared(shared: SharedFolder, record: Path) -> None:
    uml._take_record(shared, record, record.parent / "console.log", Child(0, -1))


def test_a_record_in_a_shared_folder(shared: SharedFolder, record: Path) -> None:
    shared.record_file.write_bytes(archive(("record.json", b"{}", tarfile.REGTYPE)))
    take_shared(shared, record)
    assert (record / "record.json").read_bytes() == b"{}"
    shared.record_file.write_text("Traceback\nValueError: something is wrong\n")
    (shared.record_file.parent / "state").write_text("FAILED\n")
    with pytest.raises(GuestError, match="ValueError: something is wrong"):
        take_shared(shared, record)


@pytest.mark.parametrize("state", ["DONE", "FAILED"])
def test_a_shared_folder_has_no_way_out(shared: SharedFolder, record: Path, tmp_path: Path, state: str) -> None:
    (shared.record_file.parent / "state").write_text(f"{state}\n")
    with pytest.raises(GuestError, match=r"record\.tar: No such file"):
        take_shared(shared, record)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    shared.record_file.symlink_to(secret)
    with pytest.raises(GuestError, match="the agent's record cannot be read") as caught:
        take_shared(shared, record)
    assert "secret" not in str(caught.value)
    shared.record_file.unlink()
    os.mkfifo(shared.record_file)
    with pytest.raises(GuestError, match="is not a regular file"):
        take_shared(shared, record)


@pytest.mark.parametrize("content", [b"", b"no tar", archive(("record.json", b"x" * 2000, tarfile.REGTYPE))[:1000]])
def test_what_is_no_archive(guest: Stopped, record: Path, content: bytes) -> None:
    guest.mailbox.write(content)
    with pytest.raises(GuestError, match="the agent's record cannot be read"):
        _take_record(guest, record)


def test_an_agent_that_failed_says_why_in_one_line(guest: Stopped, record: Path) -> None:
    guest.mailbox.write(b"Traceback (most recent call last):\n  File ...\nValueError: something is wrong\n")
    guest.mailbox.state = State.FAILED
    with pytest.raises(GuestError) as caught:
        _take_record(guest, record)
    assert caught.value.reason == "the agent failed (FAILED): ValueError: something is wrong"


def test_an_agent_that_stopped_too_early(guest: Stopped, record: Path) -> None:
    guest.mailbox.state = State.RUNNING
    with pytest.raises(GuestError, match=r"the agent failed \(RUNNING\): no message"):
        _take_record(guest, record)
