# SPDX-License-Identifier: Apache-2.0
"""The memory that a virtual machine shares with its host, by which it receives a job and returns progress and a record.

Both sides map the same bytes; to the guest they are an NVDIMM.  Data are exchanged by memory access alone, without
interrupts and completions of devices, whose timing would depend on the host.  All numbers are little-endian.

This module is copied into the guest.  It therefore uses only the standard library and imports nothing else from
``lab``, apart from other modules of this package.
"""

from __future__ import annotations

import enum
import mmap
import struct

from lab.job.watched import MOST_CONTROL_BYTES, MOST_FRAME_BYTES

MAILBOX_BYTES = 1 << 28
"""The size of the shared region in bytes.  The region is sparse, so that only the used part of it occupies memory."""

_MAGIC = b"LABMBOX1"
_FIELDS = struct.Struct("<8sIIQQQQQII")
_STATE_OFFSET = 8
_IS_WATCHED_OFFSET = 12
_VIRTUAL_OFFSET = 16
_JOB_LENGTH_OFFSET = 24
_RECORD_LENGTH_OFFSET = 32
_PUBLISHED_OFFSET = 40
_TAKEN_OFFSET = 48
_CONTROL_NUMBER_OFFSET = 56
_CONTROL_LENGTH_OFFSET = 60
_JOB_OFFSET = 4096
_RECORD_OFFSET = 4 << 20

_FRAMES_BYTES = 32 << 20
"""The size of the ring of frames, at the end of the memory."""
_FRAME_HEADER = struct.Struct("<I")


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

    def initialise(self, job: bytes, *, is_watched: bool = False) -> None:
        """Write a job and clear everything else; the host calls this before the machine starts or resumes.

        With ``is_watched``, the guest publishes frames while the trial runs (:mod:`lab.job.watched`).

        Raises:
            MailboxError: The job is too large.
        """
        if len(job) > _RECORD_OFFSET - _JOB_OFFSET:
            raise MailboxError(
                f"the job has {len(job)} bytes, but the mailbox has room for {_RECORD_OFFSET - _JOB_OFFSET}"
            )
        self._memory[: _FIELDS.size] = _FIELDS.pack(_MAGIC, State.BLANK, int(is_watched), 0, len(job), 0, 0, 0, 0, 0)
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
        self._write("<I", _STATE_OFFSET, value)

    @property
    def virtual_ns(self) -> int:
        """The virtual time since the start of traffic, in nanoseconds.

        The guest updates it several times per second of virtual time.
        """
        return self._read("<Q", _VIRTUAL_OFFSET)

    @virtual_ns.setter
    def virtual_ns(self, value: int) -> None:
        self._write("<Q", _VIRTUAL_OFFSET, value)

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
        self._write("<Q", _RECORD_LENGTH_OFFSET, length + len(data))
        return len(data)

    def clear_record(self) -> None:
        """Empty the record area."""
        self._write("<Q", _RECORD_LENGTH_OFFSET, 0)

    @property
    def record(self) -> memoryview:
        """The bytes that the guest has written to the record area."""
        length = self._read("<Q", _RECORD_LENGTH_OFFSET)
        return memoryview(self._memory)[_RECORD_OFFSET : _RECORD_OFFSET + length]

    # --- a watched trial ---------------------------------------------------------------------------------------

    @property
    def is_watched(self) -> bool:
        """Whether the host wants frames while the trial runs."""
        return bool(self._read("<I", _IS_WATCHED_OFFSET))

    def publish(self, frame: bytes) -> bool:
        """Add a frame for the host; return False if there is no room for it until the host has taken others.

        Raises:
            MailboxError: The frame is too large.
        """
        if len(frame) > MOST_FRAME_BYTES:
            raise MailboxError(f"the frame has {len(frame)} bytes; at most {MOST_FRAME_BYTES} are allowed")
        published, taken = self._read("<Q", _PUBLISHED_OFFSET), self._read("<Q", _TAKEN_OFFSET)
        data = _FRAME_HEADER.pack(len(frame)) + frame
        if published - taken + len(data) > _FRAMES_BYTES:
            return False
        start = published % _FRAMES_BYTES
        first = min(len(data), _FRAMES_BYTES - start)
        ring = len(self._memory) - _FRAMES_BYTES
        self._memory[ring + start : ring + start + first] = data[:first]
        self._memory[ring : ring + len(data) - first] = data[first:]
        self._write("<Q", _PUBLISHED_OFFSET, published + len(data))
        return True

    def frames(self) -> list[bytes]:
        """Take the frames that the guest has published.

        Raises:
            MailboxError: The guest has written something else.
        """
        found = []
        published, taken = self._read("<Q", _PUBLISHED_OFFSET), self._read("<Q", _TAKEN_OFFSET)
        if not 0 <= published - taken <= _FRAMES_BYTES:
            raise MailboxError("the guest has damaged the positions of the frames")
        while taken < published:
            (length,) = _FRAME_HEADER.unpack(self._ring(taken, _FRAME_HEADER.size))
            taken += _FRAME_HEADER.size
            if length > min(published - taken, MOST_FRAME_BYTES):
                raise MailboxError("the guest has damaged a frame")
            found.append(self._ring(taken, length))
            taken += length
        self._write("<Q", _TAKEN_OFFSET, taken)
        return found

    def _ring(self, position: int, length: int) -> bytes:
        start, ring = position % _FRAMES_BYTES, len(self._memory) - _FRAMES_BYTES
        first = min(length, _FRAMES_BYTES - start)
        return bytes(self._memory[ring + start : ring + start + first] + self._memory[ring : ring + length - first])

    @property
    def control(self) -> bytes:
        """The control document that the host has written; the guest reads it while the host may write another one."""
        while True:
            before = self._read("<I", _CONTROL_NUMBER_OFFSET)
            start = len(self._memory) - _FRAMES_BYTES - MOST_CONTROL_BYTES
            data = bytes(self._memory[start : start + self._read("<I", _CONTROL_LENGTH_OFFSET)])
            # The number is odd while the host writes.
            if before % 2 == 0 and before == self._read("<I", _CONTROL_NUMBER_OFFSET):
                return data

    @control.setter
    def control(self, data: bytes) -> None:
        if len(data) > MOST_CONTROL_BYTES:
            raise MailboxError(f"the control document has {len(data)} bytes; at most {MOST_CONTROL_BYTES} are allowed")
        number = self._read("<I", _CONTROL_NUMBER_OFFSET)
        self._write("<I", _CONTROL_NUMBER_OFFSET, (number + 1) % (1 << 32))
        start = len(self._memory) - _FRAMES_BYTES - MOST_CONTROL_BYTES
        self._memory[start : start + len(data)] = data
        self._write("<I", _CONTROL_LENGTH_OFFSET, len(data))
        self._write("<I", _CONTROL_NUMBER_OFFSET, (number + 2) % (1 << 32))

    def _read(self, code: str, offset: int) -> int:
        return int(struct.unpack_from(code, self._memory, offset)[0])

    def _write(self, code: str, offset: int, value: int) -> None:
        # The other side may be reading.  struct.pack_into would fill the place with zeros before it writes the number.
        data = struct.pack(code, value)
        self._memory[offset : offset + len(data)] = data
