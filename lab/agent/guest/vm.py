# SPDX-License-Identifier: Apache-2.0
"""Run the agent as the first process (init) of the virtual machine.

The agent prepares itself once and then stops the machine, so that the host can take a snapshot.  Every machine that is
restored from the snapshot continues at the next instruction and runs the job that it finds in the mailbox.
"""

from __future__ import annotations

import ctypes
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from lab.agent.guest import shell
from lab.agent.guest.service import load_modules, prepare, report_failure, serve
from lab.job.mailbox import MAILBOX_BYTES, Mailbox, State

_PVPANIC_PORT = 0x505


def main() -> NoReturn:
    """Prepare, stop for the snapshot, then run the job.

    This function never returns: the host ends the machine.
    """
    terminal = shell.asked_for()
    if terminal is not None:
        load_modules()
        shell.main(terminal)
    mailbox = Mailbox(map_mailbox())
    mailbox.check()
    mailbox.state = State.STARTED
    stop = instruction_that_stops_the_machine()
    try:
        programs = prepare(json.loads(mailbox.job), mailbox, engine="vm")
        mailbox.state = State.READY
    except BaseException:
        report_failure(mailbox)
    stop()
    # A restored machine continues here.  It has its own mailbox, mapped at the same address.
    serve(mailbox, programs, engine="vm", pause=stop)
    while True:
        stop()


def map_mailbox() -> mmap.mmap:
    """Map the mailbox, which is the region of persistent memory that has the mailbox's size.

    It is mapped through /dev/mem, so the guest needs no driver for it.
    """
    for line in Path("/proc/iomem").read_text(encoding="ascii").splitlines():
        extent, _, name = line.strip().partition(" : ")
        if name == "Persistent Memory":
            first, last = (int(address, 16) for address in extent.split("-"))
            if last + 1 - first == MAILBOX_BYTES:
                with open("/dev/mem", "r+b") as memory:
                    return mmap.mmap(memory.fileno(), MAILBOX_BYTES, offset=first)
    raise RuntimeError("this virtual machine has no mailbox (no persistent memory region of its size in /proc/iomem)")


def instruction_that_stops_the_machine() -> Callable[[], None]:
    """Return a function that writes 1 to the port of the pvpanic device, on which QEMU stops the machine at once.

    Debian's cloud kernel has no /dev/port, so this process executes the ``out`` instruction itself, from a page of
    machine code.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # mov $0x505,%edx; mov $1,%eax; out %al,(%dx); ret
    code.write(b"\xba\x05\x05\x00\x00\xb8\x01\x00\x00\x00\xee\xc3")
    write_to_port = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def stop() -> None:
        # Processes inherit the permission, and each switch to a process that has it takes the kernel longer.
        _permit(libc, 1)
        write_to_port()
        _permit(libc, 0)

    # The reference keeps the page from being unmapped.
    stop.code = code  # type: ignore[attr-defined]
    return stop


def _permit(libc: ctypes.CDLL, permission: int) -> None:
    if libc.ioperm(_PVPANIC_PORT, 1, permission) != 0:
        raise OSError(ctypes.get_errno(), "ioperm")
