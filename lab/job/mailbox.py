# SPDX-License-Identifier: Apache-2.0
"""The memory that a virtual machine shares with its host: a job goes in, progress and a record come out.

Both sides map the same bytes (to the guest they are an NVDIMM), so passing them is memory access: no interrupt, no
device completion, nothing whose moment depends on the host.  All numbers are little-endian.

Shipped into the guest: standard library only, no other import from ``lab``.
"""

from __future__ import annotations

import enum
import mmap
import struct

MAILBOX_BYTES = 1 << 28
"""Size of the shared region; sparse, so only what is used costs memory."""

_MAGIC = b"LABMBOX1"
_FIELDS = struct.Struct("<8sIIQQQ")
_STATE_OFFSET = 8
_VIRTUAL_OFFSET = 16
_JOB_LENGTH_OFFSET = 24
_RECORD_LENGTH_OFFSET = 32
_JOB_OFFSET = 4096
_RECORD_OFFSET = 4 << 20


class State(enum.IntEnum):
    """Written by the guest, but for BLANK."""

    BLANK = 0
    STARTED = 1
    """The agent is alive."""
    READY = 2
    """Programs are loaded; the snapshot is taken here."""
    RUNNING = 3
    DONE = 4
    """The record area holds a tar archive of the record's directory."""
    FAILED = 5
    """The record area holds a message."""


class MailboxError(Exception):
    """What is in the mailbox, or is to be put there, does not fit."""


class Mailbox:
    """A view of the shared region ``memory``; either side may make one."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def initialise(self, job: bytes) -> None:
        """Host: put a job in, before the machine starts or resumes."""
        if len(job) > _RECORD_OFFSET - _JOB_OFFSET:
            raise MailboxError(f"the job has {len(job)} bytes, the mailbox has room for {_RECORD_OFFSET - _JOB_OFFSET}")
        self._memory[: _FIELDS.size] = _FIELDS.pack(_MAGIC, State.BLANK, 0, 0, len(job), 0)
        self._memory[_JOB_OFFSET : _JOB_OFFSET + len(job)] = job

    def check(self) -> None:
        if self._memory[:8] != _MAGIC:
            raise MailboxError(f"no mailbox: it starts with {bytes(self._memory[:8])!r}")

    @property
    def job(self) -> bytes:
        return bytes(self._memory[_JOB_OFFSET : _JOB_OFFSET + self._read("<Q", _JOB_LENGTH_OFFSET)])

    @property
    def state(self) -> State:
        return State(self._read("<I", _STATE_OFFSET))

    @state.setter
    def state(self, value: State) -> None:
        struct.pack_into("<I", self._memory, _STATE_OFFSET, value)

    @property
    def virtual_ns(self) -> int:
        """Time since the start of traffic, several times a second of it."""
        return self._read("<Q", _VIRTUAL_OFFSET)

    @virtual_ns.setter
    def virtual_ns(self, value: int) -> None:
        struct.pack_into("<Q", self._memory, _VIRTUAL_OFFSET, value)

    def write(self, data: bytes) -> int:
        """Guest: append to the record area (the interface ``tarfile`` writes to)."""
        length = self._read("<Q", _RECORD_LENGTH_OFFSET)
        start = _RECORD_OFFSET + length
        if start + len(data) > len(self._memory):
            raise MailboxError(f"the record is larger than the mailbox's {len(self._memory) - _RECORD_OFFSET} bytes")
        self._memory[start : start + len(data)] = data
        struct.pack_into("<Q", self._memory, _RECORD_LENGTH_OFFSET, length + len(data))
        return len(data)

    def clear_record(self) -> None:
        struct.pack_into("<Q", self._memory, _RECORD_LENGTH_OFFSET, 0)

    @property
    def record(self) -> memoryview:
        """Host: what the guest has written to the record area."""
        length = self._read("<Q", _RECORD_LENGTH_OFFSET)
        return memoryview(self._memory)[_RECORD_OFFSET : _RECORD_OFFSET + length]

    def _read(self, code: str, offset: int) -> int:
        return int(struct.unpack_from(code, self._memory, offset)[0])
