# SPDX-License-Identifier: Apache-2.0
"""Standard output and error that are closed, full, or cannot show a character."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from lab.errors import InputError

__all__ = ["Unfailing", "checked_streams", "discard", "output_error"]


class Unfailing:
    """A stream for messages: what it cannot write is lost, because nothing else could tell the user."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def checked_streams(*, with_output: bool = True) -> Iterator[None]:
    """Make standard output and error usable in the block.

    Raises:
        InputError: Standard output is closed, and the command needs it (*with_output*).
    """
    output_was_closed = sys.stdout is None
    _open_missing()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            # A character that the user's encoding does not have is not worth ending a command.
            stream.reconfigure(errors="backslashreplace")
    with contextlib.ExitStack() as stack:
        if sys.stderr is None:
            stack.enter_context(
                contextlib.redirect_stderr(stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
            )
        else:
            stack.enter_context(contextlib.redirect_stderr(cast(TextIO, Unfailing(sys.stderr))))
        if output_was_closed and with_output:
            raise InputError("standard output is closed; to discard the output, write >/dev/null")
        yield


def _open_missing() -> None:
    """Open ``/dev/null`` as standard input, output or error if it is closed.

    Otherwise the next file that is opened would get its number, and what a program prints would end up in that file.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= 2:
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)


_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def output_error(error: OSError) -> str | None:
    """Return why standard output could not be written, and discard what is still to be written.

    None: *error* is of something else.  Files have names, and what writes them says which one it was.
    """
    if error.filename is not None or error.errno not in _OUTPUT_ERRORS:
        return None
    discard(sys.stdout)
    return error.strerror or str(error)


def discard(stream: TextIO) -> None:
    """Let what Python still wants to write to *stream* when it exits go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
