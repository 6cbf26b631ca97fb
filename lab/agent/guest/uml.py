# SPDX-License-Identifier: Apache-2.0
"""Run the agent as the first process (init) of an instance of User-mode Linux.

The agent prepares itself once.  Its instance then becomes a zygote: for each trial, the kernel forks the whole
instance, and each child continues at the next instruction and runs the job in its own folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from lab.agent.guest.service import prepare, serve
from lab.job.folder import SharedFolder

SELF_TEST = Path("/run/lab/selftest.json")
"""The self-test's job, which comes with the agent."""

_SHARED = Path("/run/host")
_PREPARATION = Path("/run/preparation")
_ZYGOTE = Path("/proc/uml-zygote")
_POWER_OFF = 0x4321FEDC
"""RB_POWER_OFF of reboot(2)."""


def main() -> NoReturn:
    """Prepare, let the kernel fork, then run the job of this child and power off."""
    _PREPARATION.mkdir()
    try:
        programs = prepare(json.loads(SELF_TEST.read_bytes()), SharedFolder(_PREPARATION), engine="uml")
    except BaseException:
        traceback.print_exc()
        _power_off()
    _ZYGOTE.write_text("fork\n", encoding="ascii")
    # Each child continues here.
    _mount_shared_folder()
    # The host stops the whole instance while it waits, so nothing has to be done here.
    serve(SharedFolder(_SHARED), programs, engine="uml", pause=lambda: None)
    _power_off()


def _mount_shared_folder() -> None:
    # The folder is mounted only now, because the kernel would remember what it has seen of the zygote's own folder.
    _SHARED.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"host", os.fsencode(_SHARED), b"hostfs", 0, b"") != 0:
        raise OSError(ctypes.get_errno(), f"cannot mount hostfs: {os.strerror(ctypes.get_errno())}")


def _power_off() -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).reboot(_POWER_OFF)
    raise SystemExit(1)  # reboot() does not return.


if __name__ == "__main__":
    main()
