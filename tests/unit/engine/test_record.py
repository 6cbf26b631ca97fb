# SPDX-License-Identifier: Apache-2.0
"""Check how a record is taken from a guest, which may have run untrusted code."""

from __future__ import annotations

import io
import mmap
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine.vm.engine import _take_record
from lab.engine.vm.machine import Machine
from lab.errors import GuestError
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
