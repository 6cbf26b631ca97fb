# SPDX-License-Identifier: Apache-2.0
"""The memory that a virtual machine shares with its host, by which it receives a job and returns progress and a record.

Both sides map the same bytes; to the guest they are an NVDIMM.  Data are exchanged by memory access alone, without
interrupts and completions of devices, whose timing would depend on the host.  All numbers are little-endian.

This module is copied into the guest.  It therefore uses only the standard library and imports nothing else from
``lab``.
"""

from __future__ import annotations

import enum
import mmap
import struct

MAILBOX_BYTES = 1 << 28
"""The size of the shared region in bytes.  The region is sparse, so that only the used part of it occupies memory."""

_MAGIC = b"LABMBOX1"
_FIELDS = struct.Struct("<8sIIQQQ")
_STATE_OFFSET = 8
_VIRTUAL_OFFSET = 16
_JOB_LENGTH_OFFSET = 24
_RECORD_LENGTH_OFFSET = 32
_JOB_OFFSET = 4096
_RECORD_OFFSET = 4 << 20


class State(enum.IntEnum):
    """The state of the guest's agent.  The host writes BLANK; the guest writes all other states."""

    BLANK = 0
    """The host has written a job, and the agent has not reacted yet."""
    STARTED = 1
    """The agent is running."""
    READY = 2
    """The agent has loaded its programs; the snapshot is taken in this state."""
    RUNNING = 3
    """The agent is running a trial."""
    DONE = 4
    """The record area contains a tar archive of the record's directory."""
    FAILED = 5
    """The record area contains an error message."""


class MailboxError(Exception):
    """The memory contains no mailbox, or the data to be written are too large for it."""


class Mailbox:
    """A view of the shared region ``memory``, for use by the host or the guest."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def initialise(self, job: bytes) -> None:
        """Write a job and clear everything else; the host calls this before the machine starts or resumes.

        Raises:
            MailboxError: The job is too large.
        """
        if len(job) > _RECORD_OFFSET - _JOB_OFFSET:
            raise MailboxError(
                f"the job has {len(job)} bytes, but the mailbox has room for {_RECORD_OFFSET - _JOB_OFFSET}"
            )
        self._memory[: _FIELDS.size] = _FIELDS.pack(_MAGIC, State.BLANK, 0, 0, len(job), 0)
        self._memory[_JOB_OFFSET : _JOB_OFFSET + len(job)] = job

    def check(self) -> None:
        """Raise a :class:`MailboxError` if the memory does not contain a mailbox."""
        if self._memory[:8] != _MAGIC:
            raise MailboxError(f"no mailbox: the memory starts with {bytes(self._memory[:8])!r}")

    @property
    def job(self) -> bytes:
        """The job that the host has written."""
        return bytes(self._memory[_JOB_OFFSET : _JOB_OFFSET + self._read("<Q", _JOB_LENGTH_OFFSET)])

    @property
    def state(self) -> State:
        """The state of the guest's agent."""
        return State(self._read("<I", _STATE_OFFSET))

    @state.setter
    def state(self, value: State) -> None:
        struct.pack_into("<I", self._memory, _STATE_OFFSET, value)

    @property
    def virtual_ns(self) -> int:
        """The virtual time since the start of traffic, in nanoseconds.

        The guest updates it several times per second of virtual time.
        """
        return self._read("<Q", _VIRTUAL_OFFSET)

    @virtual_ns.setter
    def virtual_ns(self, value: int) -> None:
        struct.pack_into("<Q", self._memory, _VIRTUAL_OFFSET, value)

    def write(self, data: bytes) -> int:
        """Append *data* to the record area and return their length.

        The guest passes the mailbox as a file to ``tarfile``, which calls this method.

        Raises:
            MailboxError: The record is too large.
        """
        length = self._read("<Q", _RECORD_LENGTH_OFFSET)
        start = _RECORD_OFFSET + length
        if start + len(data) > len(self._memory):
            raise MailboxError(f"the record is larger than the mailbox's {len(self._memory) - _RECORD_OFFSET} bytes")
        self._memory[start : start + len(data)] = data
        struct.pack_into("<Q", self._memory, _RECORD_LENGTH_OFFSET, length + len(data))
        return len(data)

    def clear_record(self) -> None:
        """Empty the record area."""
        struct.pack_into("<Q", self._memory, _RECORD_LENGTH_OFFSET, 0)

    @property
    def record(self) -> memoryview:
        """The bytes that the guest has written to the record area."""
        length = self._read("<Q", _RECORD_LENGTH_OFFSET)
        return memoryview(self._memory)[_RECORD_OFFSET : _RECORD_OFFSET + length]

    def _read(self, code: str, offset: int) -> int:
        return int(struct.unpack_from(code, self._memory, offset)[0])
