# SPDX-License-Identifier: Apache-2.0
"""Name the process that something belongs to, so that other processes can tell later whether it still runs.

The id of a process alone does not tell this.  Several machines and containers may share a folder, and each of them
counts its processes from 1; ids are used again; and after a reboot, all of them are.  An owner's name therefore
contains the id, the time at which the process started, and a digest of where both of them count: the boot of the kernel
(``/proc/sys/kernel/random/boot_id``), the PID namespace and the time namespace.

This module needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from enum import Enum
from functools import lru_cache
from pathlib import Path

UNKNOWN_PLACE = "0" * 16
"""The place of a process on a system without ``/proc``, where nothing can be told of other processes."""

_NAME = re.compile(r"([1-9][0-9]*)-([0-9]+)-([0-9a-f]{16})(?![0-9a-f])")
_EARLIER_NAME = re.compile(r"[1-9][0-9]*-[0-9a-f]{12}")
"""What earlier versions wrote: the id of the process and a random part."""
_PROC = Path("/proc")
_ENDED = ("Z", "X")
"""States of a process that has ended, but whose parent has not asked for its exit status yet (proc_pid_stat(5))."""


class Judgement(Enum):
    """What is known about an owner."""

    RUNS = "runs"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """It belongs to another machine, container or boot, or an earlier version of lab named it by the id alone."""
    NONE = "none"
    """The text is not the name of an owner."""


def own_name() -> str:
    """Return the name of this process as an owner: its id, its start in clock ticks after the boot, and its place."""
    return _name_of(os.getpid())


@lru_cache(maxsize=1)
def _name_of(process: int) -> str:
    # The argument is part of the cache's key, so that a forked process gets a name of its own.
    state = _state_and_start(process) if own_place() != UNKNOWN_PLACE else None
    return f"{process}-{state[1] if state else 0}-{own_place()}"


def judge(name: str) -> Judgement:
    """Return what is known about the owner with whose name the text *name* begins."""
    found = _NAME.match(name)
    if found is None:
        return Judgement.UNKNOWN if _EARLIER_NAME.fullmatch(name) else Judgement.NONE
    if found[3] == UNKNOWN_PLACE or found[3] != own_place():
        return Judgement.UNKNOWN
    now = _state_and_start(int(found[1]))
    runs = now is not None and now[0] not in _ENDED and now[1] == int(found[2])
    return Judgement.RUNS if runs else Judgement.ENDED


def own_place() -> str:
    """Return a digest of the boot, the PID namespace and the time namespace of this process."""
    try:
        # If /proc were that of another PID namespace, it would show other processes under the ids of this one.
        if os.readlink(_PROC / "self") != str(os.getpid()):
            return UNKNOWN_PLACE
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        processes = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return UNKNOWN_PLACE
    try:
        time = os.readlink(_PROC / "self/ns/time")  # The start of a process is counted in it.
    except OSError:
        time = ""  # Kernels before Linux 5.6 have no time namespaces.
    return hashlib.sha256(f"{boot}\n{processes}\n{time}\n".encode()).hexdigest()[:16]


def _state_and_start(process: int) -> tuple[str, int] | None:
    """Return the state of a process and its start in clock ticks after the boot; None if there is no such process."""
    try:
        text = (_PROC / str(process) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The second field is the name of the program in parentheses, which may contain anything (proc_pid_stat(5)).
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
