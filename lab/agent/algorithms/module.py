# SPDX-License-Identifier: Apache-2.0
"""Load the kernel module of a congestion control.  It stays until the guest ends."""

from __future__ import annotations

import base64
import os
import tempfile
import zlib
from pathlib import Path

from lab.agent.algorithms.errors import AlgorithmError
from lab.agent.congestion import available
from lab.agent.process import CommandError, run
from lab.job.protocol import Algorithm

_KERNEL_LOG = "/dev/kmsg"
_LINE_BYTES = 8192
_MOST_LINES = 20
_MOST_TOLD = 3


def load_module(algorithm: Algorithm) -> None:
    """Load the module of *algorithm* into this kernel.

    Raises:
        AlgorithmError: The kernel does not accept it, or it registers no congestion control of this name.
    """
    name = algorithm["name"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "module.ko")
        file.write_bytes(zlib.decompress(base64.b64decode(algorithm["object"])))
        log = _open_log()
        try:
            run(["insmod", str(file)])
        except CommandError as error:
            reason = str(error).rpartition(str(file))[2].strip(" :") or str(error)
            said = _said_since(log)
            told = f" (the kernel says: {'; '.join(said.splitlines()[:_MOST_TOLD])})" if said else ""
            raise AlgorithmError(name, f"its module cannot be loaded: {reason}{told}", said) from error
        finally:
            os.close(log)
    if name not in available():
        raise AlgorithmError(name, f'its module registers no congestion control with .name = "{name}"')


def _open_log() -> int:
    """Open the kernel's log at its end."""
    log = os.open(_KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(log, 0, os.SEEK_END)
    return log


def _said_since(log: int) -> str:
    """Return what the kernel has said since *log* was opened."""
    lines: list[str] = []
    while len(lines) < _MOST_LINES:
        try:
            lines.append(os.read(log, _LINE_BYTES).decode(errors="replace").partition(";")[2].splitlines()[0])
        except (BlockingIOError, BrokenPipeError, IndexError):
            break
    return "\n".join(lines)
