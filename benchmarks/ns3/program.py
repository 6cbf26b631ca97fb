# SPDX-License-Identifier: Apache-2.0
"""The scenario (``chain.cc``), compiled with a build of ns-3, and what its installers have in common."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.store import places

SCENARIO = Path(__file__).with_name("chain.cc")
MODULES = ("applications", "internet", "point-to-point", "traffic-control", "bridge", "network", "stats", "core")
"""The modules of ns-3 that the scenario needs, in the order in which they are linked."""
_TAIL_LINES = 5

Step = Callable[[str], None]


class InstallError(Exception):
    """A build of ns-3 cannot be made here; the message says why."""


@dataclass(frozen=True)
class Ns3:
    """The scenario, compiled with one build of ns-3."""

    name: str
    """A short name for tables."""
    version: str
    description: str
    """How this build was made."""
    program: Path


def folder(name: str) -> Path:
    """Return the folder *name* for a build of ns-3 in lab's cache, which is created if necessary."""
    path = places.cache_root() / "ns3" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def execute(command: Sequence[str], cwd: Path) -> str:
    """Run *command* in the folder *cwd* and return what it printed.

    Raises:
        InstallError: The program is missing or failed; the message has its last lines.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError as exc:
        raise InstallError(f"the program {command[0]} is missing") from exc
    if done.returncode != 0:
        tail = " | ".join(done.stdout.strip().splitlines()[-_TAIL_LINES:])
        raise InstallError(f"{command[0]} failed (exit status {done.returncode}): {tail}")
    return done.stdout
