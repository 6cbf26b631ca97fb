# SPDX-License-Identifier: Apache-2.0
"""Start programs that end with the process that started them, on one of the host's CPUs.

The programs setpriv and taskset of util-linux do the same, but not every host has them.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h

_BEFORE = f"""
import ctypes, os, sys
parent, processor, number, *command = sys.argv[1:]
if ctypes.CDLL(None, use_errno=True).prctl({_PR_SET_PDEATHSIG}, int(number)) != 0:
    sys.exit(f"prctl: {{os.strerror(ctypes.get_errno())}}")
if os.getppid() != int(parent):
    sys.exit("the process that started this one has ended")
if processor:
    os.sched_setaffinity(0, [int(processor)])
os.execvp(command[0], command)
"""


def tethered(
    command: Sequence[str], parent: int, processor: int | None = None, *, with_signal: signal.Signals = signal.SIGKILL
) -> list[str]:
    """Return the command that runs *command* in such a way that the kernel ends it when its parent ends.

    Args:
        command: The program, and its arguments.
        parent: The id of the process that will start it.
        processor: The only host CPU on which it may run; None for all of them.
        with_signal: The signal with which the kernel ends it.
    """
    where = "" if processor is None else str(processor)
    # -I and -S let Python start within some milliseconds, and keep it from running anything of the user's.
    return [sys.executable, "-I", "-S", "-c", _BEFORE, str(parent), where, str(int(with_signal)), *command]
