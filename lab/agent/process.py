# SPDX-License-Identifier: Apache-2.0
"""Run commands where the agent runs, in one place: always an argument list, a deadline and a clear failure."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

DEFAULT_TIMEOUT_S = 60.0


class CommandError(Exception):
    """A command failed; the message holds the command, its exit status and what it printed."""


def run(argv: Sequence[str], *, stdin: str | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> str:
    """Run ``argv``, return its standard output, raise :class:`CommandError` unless it exits with 0."""
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=False, close_fds=False
        )
    except FileNotFoundError as exc:
        raise CommandError(f"{argv[0]}: command not found") from exc
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"{' '.join(argv)}: no end after {timeout:g} s") from exc
    if done.returncode != 0:
        printed = " ".join((done.stderr + done.stdout).split())
        raise CommandError(f"{' '.join(argv)}: exit status {done.returncode}: {printed}")
    return done.stdout
