# SPDX-License-Identifier: Apache-2.0
"""The memory that host and guest share, tested from both sides."""

from __future__ import annotations

import io
import mmap
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.job.mailbox import MAILBOX_BYTES, Mailbox, MailboxError, State

RECORD_OFFSET = 4 << 20
ROOM_FOR_JOB = RECORD_OFFSET - 4096
ROOM_FOR_RECORD = 16_384


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, RECORD_OFFSET + ROOM_FOR_RECORD) as found:
        yield found


def test_a_job_goes_in(memory: mmap.mmap) -> None:
    host, guest = Mailbox(memory), Mailbox(memory)
    host.initialise(b'{"format": 1}')
    guest.check()
    assert guest.job == b'{"format": 1}'
    assert guest.state is State.BLANK
    assert guest.virtual_ns == 0
    assert bytes(guest.record) == b""


def test_progress_and_record_come_out(memory: mmap.mmap) -> None:
    host, guest = Mailbox(memory), Mailbox(memory)
    host.initialise(b"{}")
    for state in (State.STARTED, State.READY, State.RUNNING):
        guest.state = state
        assert host.state is state
    guest.virtual_ns = 2**63
    assert host.virtual_ns == 2**63
    assert guest.write(b"one") == 3
    assert guest.write(b"two") == 3
    assert bytes(host.record) == b"onetwo"
    assert host.job == b"{}"
    guest.clear_record()
    assert bytes(host.record) == b""


WRITER = """
import mmap, sys
from lab.job.mailbox import Mailbox
with open(sys.argv[1], "r+b") as file:
    guest = Mailbox(mmap.mmap(file.fileno(), 0))
    while True:
        for low in range(1, 255):
            guest.virtual_ns = low * 0x0101010101010101
"""


def test_a_number_is_never_seen_half_written(tmp_path: Path, all_processors: None) -> None:
    path = tmp_path / "memory"
    with open(path, "w+b") as file:
        file.truncate(RECORD_OFFSET)
        host = Mailbox(mmap.mmap(file.fileno(), 0))
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
        try:
            while host.virtual_ns == 0:
                time.sleep(0.01)
            found = {host.virtual_ns for _ in range(300_000)}
        finally:
            writer.kill()
    assert {value for value in found if len(set(value.to_bytes(8, "little"))) != 1 or value == 0} == set()


def test_initialising_forgets_what_was_there(memory: mmap.mmap) -> None:
    mailbox = Mailbox(memory)
    mailbox.initialise(b"a long job")
    mailbox.write(b"record")
    mailbox.state, mailbox.virtual_ns = State.DONE, 5
    mailbox.initialise(b"job")
    assert (mailbox.job, mailbox.state, mailbox.virtual_ns, bytes(mailbox.record)) == (b"job", State.BLANK, 0, b"")


def test_a_job_that_just_fits_and_one_that_does_not(memory: mmap.mmap) -> None:
    mailbox = Mailbox(memory)
    job = bytes(range(256)) * (ROOM_FOR_JOB // 256)
    mailbox.initialise(job)
    assert mailbox.job == job
    with pytest.raises(MailboxError, match=rf"the job has {ROOM_FOR_JOB + 1} bytes.* room for {ROOM_FOR_JOB}"):
        mailbox.initialise(job + b"x")
    assert mailbox.job == job


def test_a_record_that_just_fits_and_one_that_does_not(memory: mmap.mmap) -> None:
    mailbox = Mailbox(memory)
    mailbox.initialise(b"{}")
    mailbox.write(bytes(ROOM_FOR_RECORD - 1))
    with pytest.raises(MailboxError, match=f"larger than the mailbox's {ROOM_FOR_RECORD} bytes"):
        mailbox.write(b"xy")
    assert len(mailbox.record) == ROOM_FOR_RECORD - 1
    mailbox.write(b"x")
    assert bytes(mailbox.record)[-1:] == b"x"


def test_a_tar_stream_goes_through(memory: mmap.mmap) -> None:
    mailbox = Mailbox(memory)
    mailbox.initialise(b"{}")
    with tarfile.open(fileobj=mailbox, mode="w|", bufsize=512) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("a")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    with tarfile.open(fileobj=io.BytesIO(mailbox.record)) as archive:
        content = archive.extractfile("a")
        assert content is not None
        assert content.read() == b"abc"


def test_memory_that_is_no_mailbox(memory: mmap.mmap) -> None:
    with pytest.raises(MailboxError, match="no mailbox"):
        Mailbox(memory).check()


def test_a_length_beyond_the_memory_shows_no_more_than_there_is(memory: mmap.mmap) -> None:
    # The guest may run untrusted code, so the host must not read beyond the region, whatever length the guest writes.
    mailbox = Mailbox(memory)
    mailbox.initialise(b"{}")
    struct.pack_into("<Q", memory, 32, 2**62)
    assert len(mailbox.record) == ROOM_FOR_RECORD


def test_the_region_is_whole_huge_pages() -> None:
    assert MAILBOX_BYTES % (2 << 20) == 0
    assert MAILBOX_BYTES > 128 << 20
