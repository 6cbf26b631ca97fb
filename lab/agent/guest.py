# SPDX-License-Identifier: Apache-2.0
"""Run the agent as the first process (init) of the virtual machine.

The agent prepares itself once and then stops the machine, so that the host can take a snapshot.  Every machine that is
restored from the snapshot continues at the next instruction and runs the job that it finds in the mailbox.  Work that
is slow and the same for every trial (importing, compiling, loading modules, reading pages of the image) is therefore
done before the snapshot.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import mmap
import os
import shutil
import signal
import sys
import tarfile
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lab.agent import shell
from lab.agent.collectors.bcc_loader import BccPrograms
from lab.agent.collectors.loader import BPF_SOURCES, BPF_WARNINGS
from lab.agent.collectors.registry import COLLECTORS
from lab.agent.process import run
from lab.agent.trial import run_trial
from lab.job.kernels import netem_takes_seeds
from lab.job.mailbox import MAILBOX_BYTES, Mailbox, State
from lab.job.protocol import Job

_PVPANIC_PORT = 0x505
_TRIAL_DIRECTORY = Path("/run/trial")
_VIRTUAL_LIMIT_EXTRA_S = 180
_RNDRESEEDCRNG = 0x5207
"""The ioctl number of RNDRESEEDCRNG, ``_IO('R', 0x07)`` in include/uapi/linux/random.h."""
_MODULES = (
    "veth", "ifb", "bridge", "tcp_diag", "udp_diag",
    "act_mirred", "act_skbedit", "cls_matchall", "cls_bpf", "sch_ingress", "sch_netem", "sch_tbf", "sch_htb",
    "sch_codel", "sch_fq", "sch_pie", "sch_fq_pie", "sch_red", "sch_sfq", "sch_cake", "sch_prio",
)  # fmt: skip


def main() -> NoReturn:
    """Prepare, stop for the snapshot, then run the job.

    This function never returns: the host ends the machine.
    """
    terminal = shell.asked_for()
    if terminal is not None:
        load_modules()
        shell.main(terminal)
    mailbox = Mailbox(_map_mailbox())
    mailbox.check()
    mailbox.state = State.STARTED
    stop = _instruction_that_stops_the_machine()
    try:
        programs = _prepare(mailbox)
        mailbox.state = State.READY
    except BaseException:
        mailbox.clear_record()
        mailbox.write(traceback.format_exc().encode())
        mailbox.state = State.FAILED
    stop()
    # A restored machine continues here.  It has its own mailbox, mapped at the same address.
    try:
        mailbox.state = State.RUNNING
        job: Job = json.loads(mailbox.job)
        directory = _run(job, programs, mailbox)
        _deliver(directory, mailbox)
        mailbox.state = State.DONE
    except BaseException:
        mailbox.clear_record()
        mailbox.write(traceback.format_exc().encode())
        mailbox.state = State.FAILED
    while True:
        stop()


def _prepare(mailbox: Mailbox) -> BccPrograms:
    # This call makes the kernel gather its first entropy, from timer jitter that is the same in every guest.
    # Otherwise the first program that reads /dev/urandom would spend a second on it.
    os.getrandom(16)
    load_modules()
    programs = BccPrograms(BPF_SOURCES, tuple(COLLECTORS))
    if programs.warnings:
        sys.stderr.write(f"{BPF_WARNINGS}\n{programs.warnings}\n")
        sys.stderr.flush()
    # A short trial shows that everything works, and brings the programs and libraries into the page cache.
    record = run_trial(json.loads(mailbox.job), programs, _fresh_directory(), lambda _ns: None)
    if record["status"] != "ok":
        raise RuntimeError(f"the self-test failed: {record['error']}\n{record.get('traceback', '')}")
    _deliver(_TRIAL_DIRECTORY, mailbox)
    mailbox.clear_record()
    gc.collect()
    gc.freeze()
    return programs


def load_modules() -> None:
    """Load all kernel modules that a trial may need, including every congestion control algorithm."""
    congestion_control = sorted(
        path.name.split(".")[0] for path in Path("/lib/modules").glob("*/kernel/net/ipv4/tcp_*.ko*")
    )
    run(["modprobe", "-a", *_MODULES, *congestion_control])


def _fresh_directory() -> Path:
    shutil.rmtree(_TRIAL_DIRECTORY, ignore_errors=True)
    _TRIAL_DIRECTORY.mkdir()
    return _TRIAL_DIRECTORY


def _run(job: Job, programs: BccPrograms, mailbox: Mailbox) -> Path:
    def on_alarm(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(
            f"the trial was still running {_VIRTUAL_LIMIT_EXTRA_S} s of virtual time after the planned end of traffic"
        )

    def progress(now_ns: int) -> None:
        mailbox.virtual_ns = now_ns

    if not netem_takes_seeds(os.uname().release):
        _seed_kernel(job["seed"])
    directory = _fresh_directory()
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(job["duration_ns"] // 1_000_000_000 + _VIRTUAL_LIMIT_EXTRA_S)
    run_trial(job, programs, directory, progress)
    signal.alarm(0)
    return directory


def _seed_kernel(seed: int) -> None:
    """Seed the kernel's random number generator, for kernels whose netem takes no seed of its own.

    Without this, every machine restored from the snapshot would draw the same random numbers, whatever the trial's
    seed.
    """
    with open("/dev/urandom", "r+b", buffering=0) as generator:
        generator.write(seed.to_bytes(8, "big"))
        fcntl.ioctl(generator, _RNDRESEEDCRNG)


def _deliver(directory: Path, mailbox: Mailbox) -> None:
    """Write *directory* to the mailbox as a tar archive, without anything that could differ between equal trials."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = 0
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(fileobj=mailbox, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=1 << 20) as archive:  # type: ignore[call-overload]
        for path in sorted(directory.rglob("*")):
            archive.add(path, arcname=str(path.relative_to(directory)), recursive=False, filter=anonymous)


def _map_mailbox() -> mmap.mmap:
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


def _instruction_that_stops_the_machine() -> ctypes._FuncPointer:
    """Return a function that writes 1 to the port of the pvpanic device, on which QEMU stops the machine at once.

    Debian's cloud kernel has no /dev/port, so this process executes the ``out`` instruction itself, from a page of
    machine code.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ioperm(_PVPANIC_PORT, 1, 1) != 0:
        raise OSError(ctypes.get_errno(), "ioperm")
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # mov $0x505,%edx; mov $1,%eax; out %al,(%dx); ret
    code.write(b"\xba\x05\x05\x00\x00\xb8\x01\x00\x00\x00\xee\xc3")
    function = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    # The reference keeps the page from being unmapped.
    function.code = code  # type: ignore[attr-defined]
    return function


if __name__ == "__main__":
    sys.exit(main())
