# SPDX-License-Identifier: Apache-2.0
"""Write lines to standard output, and notice that nobody reads them any more."""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import TextIO


class OutputError(Exception):
    """Standard output cannot be written, because a disk is full, for example."""


class NoReaderError(OutputError):
    """The program that reads the output has ended, as ``head`` does."""


class Output:
    """Standard output, or a file in its place."""

    def __init__(self, file: TextIO) -> None:
        """Write to *file*, which must have a file descriptor.

        SIGPIPE must be ignored, as it is in Python by default.
        """
        self._file = file
        self._poll = select.poll()
        self._poll.register(file.fileno(), 0)  # POLLERR and POLLHUP are reported unasked.

    def write(self, lines: Iterable[str]) -> None:
        """Write *lines*, which have no newline at their ends, and make them visible to the reader.

        Raises:
            NoReaderError: Nobody reads the output any more.
            OutputError: The output cannot be written.
        """
        try:
            self._file.writelines(f"{line}\n" for line in lines)
            self._file.flush()
        except BrokenPipeError as exc:
            raise NoReaderError from exc
        except OSError as exc:
            raise OutputError(f"cannot write to standard output: {exc.strerror}") from exc

    def check_reader(self) -> None:
        """Find out whether somebody still reads the output although there is nothing to write.

        Raises:
            NoReaderError: Nobody reads the output any more.
        """
        if any(events & (select.POLLERR | select.POLLHUP) for _file, events in self._poll.poll(0)):
            raise NoReaderError
