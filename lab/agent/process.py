# SPDX-License-Identifier: Apache-2.0
"""Run commands and start the agent's own programs in nodes.

Every command is given as an argument list, has a deadline, and fails with a message that names the command.  The
agent's own programs all follow one protocol: they print ``ready``, read a line of numbers from their standard input,
and then do their work.  Servers, which need no numbers, go on at once.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DEFAULT_TIMEOUT_S = 60.0
_PATIENCE_S = 120.0


class CommandError(Exception):
    """A command failed; the message holds the command, its exit status and what it printed."""


def run(argv: Sequence[str], *, stdin: str | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> str:
    """Run ``argv`` and return its standard output.

    Raises:
        CommandError: The command is not installed, exceeds ``timeout`` seconds, or exits with a status other than 0.
    """
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=False, close_fds=False
        )
    except FileNotFoundError as exc:
        raise CommandError(f"{argv[0]}: command not found") from exc
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"{' '.join(argv)}: still running after {timeout:g} s") from exc
    if done.returncode != 0:
        printed = " ".join((done.stderr + done.stdout).split())
        raise CommandError(f"{' '.join(argv)}: exit status {done.returncode}: {printed}")
    return done.stdout


def start_module(
    popen: Callable[..., Any], module: str, arguments: Sequence[str], errors: Path
) -> subprocess.Popen[bytes]:
    """Start one of the agent's own programs with a node's ``popen``; append its standard error to the file *errors*."""
    with open(errors, "ab") as file:
        process: subprocess.Popen[bytes] = popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
        )
    return process


def is_ready(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the program's first line of output and return whether it is ``ready``.

    A program that prints nothing for :data:`_PATIENCE_S` is not.
    """
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _PATIENCE_S)[0]:
        return False
    return process.stdout.readline().strip() == b"ready"


def tell(process: subprocess.Popen[bytes], *numbers: int) -> None:
    """Write *numbers* as one line to the program's standard input."""
    assert process.stdin is not None
    process.stdin.write((" ".join(map(str, numbers)) + "\n").encode())
    process.stdin.flush()


def kill(*processes: subprocess.Popen[bytes] | None) -> None:
    """Kill those of *processes* that are running, and wait until they have ended."""
    for process in processes:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


def last_line(path: Path) -> str:
    """Return the last line of a file of error messages, or ``nothing`` if it is empty."""
    return (path.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
