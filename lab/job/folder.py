# SPDX-License-Identifier: Apache-2.0
"""The folder that an instance of User-mode Linux shares with its host.

It serves the same purpose as the mailbox of a virtual machine (:mod:`lab.job.mailbox`).  The guest sees the host's
folder through hostfs, which writes a file's content to the host when the file is closed.

This module is copied into the guest.  It therefore uses only the standard library and imports nothing else from
``lab``, apart from other modules of this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from lab.job.mailbox import State

_JOB, _STATE, _PROGRESS, _RECORD = "job.json", "state", "progress", "record.tar"


class SharedFolder:
    """A view of the shared folder, for use by the host or the guest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record: BinaryIO | None = None

    def initialise(self, job: bytes) -> None:
        """Write a job; the host calls this before the instance starts."""
        (self._folder / _JOB).write_bytes(job)

    @property
    def job(self) -> bytes:
        """The job that the host has written."""
        return (self._folder / _JOB).read_bytes()

    @property
    def state(self) -> State:
        """The state of the guest's agent."""
        try:
            return State[(self._folder / _STATE).read_text(encoding="ascii").strip()]
        except (FileNotFoundError, KeyError):
            return State.BLANK  # The agent has not written the file yet, or is about to.

    @state.setter
    def state(self, value: State) -> None:
        # What the host reads when it sees the new state must be complete.
        if self._record is not None:
            self._record.close()
            self._record = None
        (self._folder / _STATE).write_text(f"{value.name}\n", encoding="ascii")

    @property
    def virtual_ns(self) -> int:
        """The virtual time since the start of traffic, in nanoseconds.

        The guest updates it several times per second of virtual time.
        """
        try:
            return int((self._folder / _PROGRESS).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0  # The agent has not written the file yet, or is about to.

    @virtual_ns.setter
    def virtual_ns(self, value: int) -> None:
        (self._folder / _PROGRESS).write_text(f"{value:020}\n", encoding="ascii")

    def write(self, data: bytes) -> int:
        """Append *data* to the record and return their length.

        The guest passes the folder as a file to ``tarfile``, which calls this method.
        """
        if self._record is None:
            self._record = open(self._folder / _RECORD, "wb")  # noqa: SIM115 - closed when the state changes
        return self._record.write(data)

    def clear_record(self) -> None:
        """Remove what has been written to the record."""
        if self._record is not None:
            self._record.close()
            self._record = None
        (self._folder / _RECORD).unlink(missing_ok=True)

    @property
    def record_file(self) -> Path:
        """The path of the record: a tar archive in the state DONE, an error message in the state FAILED."""
        return self._folder / _RECORD
