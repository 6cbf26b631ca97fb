# SPDX-License-Identifier: Apache-2.0
"""The processor time of this process and of everything that it has started, however indirectly.

Neither ``getrusage`` nor the times of a single process are enough.  An instance of User-mode Linux is a grandchild of
this process: its zygote has forked it and waits for it.  Each process in its guest is a process of the host, and those
that are left when the instance ends belong to nobody.  This module therefore adds up the times of all descendants that
there are, each with those of the children that it has waited for, and makes this process the reaper of descendants
whose parents have ended, so that none of them disappears uncounted.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections import defaultdict
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parents end.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def total_s() -> float:
    """Return the processor time of this process and all of its descendants so far, in user and kernel mode, in seconds.

    Times of descendants that still exist are in clock ticks (usually 10 ms), the others are exact.
    """
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    children, ticks = _processes()
    found, waiting = 0, list(children[os.getpid()])
    while waiting:
        pid = waiting.pop()
        found += ticks[pid]
        waiting.extend(children[pid])
    return own + found * _TICK_S


def _processes() -> tuple[defaultdict[int, list[int]], dict[int, int]]:
    """Return (process → its children, process → the ticks that it and the children it has waited for have used)."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    ticks = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # The process has ended meanwhile.
        # The name of the program, in parentheses, may itself contain spaces and parentheses.
        fields = text[text.rindex(")") + 2 :].split()
        pid = int(folder.name)
        children[int(fields[1])].append(pid)
        ticks[pid] = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return children, ticks
