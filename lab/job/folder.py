# SPDX-License-Identifier: Apache-2.0
"""The folder that an instance of User-mode Linux shares with its host.

It serves the same purpose as the mailbox of a virtual machine (:mod:`lab.job.mailbox`).  The guest sees the host's
folder through hostfs, which writes a file's content to the host when the file is closed.

This module is copied into the guest.  It therefore uses only the standard library and imports nothing else from
``lab``, apart from other modules of this package.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from lab.job.mailbox import MailboxError, State
from lab.job.watched import MOST_CONTROL_BYTES, MOST_FRAME_BYTES

_JOB, _STATE, _PROGRESS, _RECORD = "job.json", "state", "progress", "record.tar"
_CONTROL, _FRAME = "control-", "frame-"


class SharedFolder:
    """A view of the shared folder, for use by the host or the guest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record: BinaryIO | None = None
        self._frames = 0
        self._controls = 0

    def initialise(self, job: bytes, *, is_watched: bool = False) -> None:
        """Write a job; the host calls this before the instance starts.

        With ``is_watched``, the guest publishes frames while the trial runs (:mod:`lab.job.watched`).
        """
        (self._folder / _JOB).write_bytes(job)
        if is_watched:
            self.control = b""

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

    # --- a watched trial ---------------------------------------------------------------------------------------

    @property
    def is_watched(self) -> bool:
        """Whether the host wants frames while the trial runs."""
        return self._control_file(0).exists()

    def publish(self, frame: bytes) -> bool:
        """Add a frame for the host; there is always room.

        Raises:
            MailboxError: The frame is too large.
        """
        if len(frame) > MOST_FRAME_BYTES:
            raise MailboxError(f"the frame has {len(frame)} bytes; at most {MOST_FRAME_BYTES} are allowed")
        self._put(f"{_FRAME}{self._frames}", frame)
        self._frames += 1
        return True

    def frames(self) -> list[bytes]:
        """Take the frames that the guest has published.

        Raises:
            MailboxError: The guest has written something else.
        """
        found = []
        while (frame := self._taken(self._folder / f"{_FRAME}{self._frames}")) is not None:
            found.append(frame)
            self._frames += 1
        return found

    def _taken(self, path: Path) -> bytes | None:
        """Return the content of a file and remove it; None if it is not there.

        It must be a regular file: a link could lead out of the folder, and a pipe would block.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise MailboxError(f"{path.name}: {exc.strerror}") from exc
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_FRAME_BYTES:
                raise MailboxError(f"{path.name} is not a regular file of at most {MOST_FRAME_BYTES} bytes")
            data = file.read(MOST_FRAME_BYTES)
        path.unlink()
        return data

    @property
    def control(self) -> bytes:
        """The newest control document that the host has written."""
        while self._control_file(self._controls + 1).exists():
            self._controls += 1
        return self._control_file(self._controls).read_bytes()

    @control.setter
    def control(self, data: bytes) -> None:
        if len(data) > MOST_CONTROL_BYTES:
            raise MailboxError(f"the control document has {len(data)} bytes; at most {MOST_CONTROL_BYTES} are allowed")
        # Each document has a file of its own.  The guest's hostfs asks for the size of a file before it opens the file;
        # if the host replaced it between the two, the guest would read the new content up to the old size.
        self._put(f"{_CONTROL}{self._controls}", data)
        self._controls += 1

    def _control_file(self, number: int) -> Path:
        return self._folder / f"{_CONTROL}{number}"

    def _put(self, name: str, data: bytes) -> None:
        """Write a file that appears under its name only when it is complete."""
        part = self._folder / f"{name}.part"
        # The guest can put links into the folder, which the host must not follow.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        part.replace(self._folder / name)
