# SPDX-License-Identifier: Apache-2.0
"""The agent as the virtual machine's init: get ready once, stop for the snapshot, then run the job of the mailbox.

Every restored machine goes on from the instruction after the snapshot, so all that is slow and the same for every trial
(importing, compiling, loading modules, reading pages of the image) happens before it.
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
"""include/uapi/linux/random.h"""
_MODULES = (
    "veth", "ifb", "bridge", "tcp_diag", "udp_diag",
    "act_mirred", "act_skbedit", "cls_matchall", "cls_bpf", "sch_ingress", "sch_netem", "sch_tbf", "sch_htb",
    "sch_codel", "sch_fq", "sch_pie", "sch_fq_pie", "sch_red", "sch_sfq", "sch_cake", "sch_prio",
)  # fmt: skip


def main() -> NoReturn:
    """Never returns: the host ends the machine."""
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
    # A restored machine goes on here, with another mailbox behind the same address.
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
    # Gathers the kernel's first entropy, from timer jitter that is the same in every guest; otherwise the first
    # program to read /dev/urandom would spend a second on it.
    os.getrandom(16)
    load_modules()
    programs = BccPrograms(BPF_SOURCES, tuple(COLLECTORS))
    if programs.warnings:
        sys.stderr.write(f"{BPF_WARNINGS}\n{programs.warnings}\n")
        sys.stderr.flush()
    # A short trial proves that everything works, and leaves its programs and libraries in the page cache.
    record = run_trial(json.loads(mailbox.job), programs, _fresh_directory(), lambda _ns: None)
    if record["status"] != "ok":
        raise RuntimeError(f"the self-test failed: {record['error']}\n{record.get('traceback', '')}")
    _deliver(_TRIAL_DIRECTORY, mailbox)
    mailbox.clear_record()
    gc.collect()
    gc.freeze()
    return programs


def load_modules() -> None:
    """Load whatever a trial may need, all congestion control included."""
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
        raise TimeoutError(f"no end {_VIRTUAL_LIMIT_EXTRA_S} virtual seconds after the traffic should have ended")

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
    """Make the kernel's random numbers the trial's: every restored machine has the same, and its netem draws them."""
    with open("/dev/urandom", "r+b", buffering=0) as generator:
        generator.write(seed.to_bytes(8, "big"))
        fcntl.ioctl(generator, _RNDRESEEDCRNG)


def _deliver(directory: Path, mailbox: Mailbox) -> None:
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
    """The mailbox is the persistent memory of its size; no driver needs to know of it."""
    for line in Path("/proc/iomem").read_text(encoding="ascii").splitlines():
        extent, _, name = line.strip().partition(" : ")
        if name == "Persistent Memory":
            first, last = (int(address, 16) for address in extent.split("-"))
            if last + 1 - first == MAILBOX_BYTES:
                with open("/dev/mem", "r+b") as memory:
                    return mmap.mmap(memory.fileno(), MAILBOX_BYTES, offset=first)
    raise RuntimeError("this machine has no mailbox")


def _instruction_that_stops_the_machine() -> ctypes._FuncPointer:
    """A function that writes 1 to pvpanic's port: QEMU stops the machine right after the instruction.

    The cloud kernel has no /dev/port, so the ``out`` is executed here, in a page of our own.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ioperm(_PVPANIC_PORT, 1, 1) != 0:
        raise OSError(ctypes.get_errno(), "ioperm")
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # mov $0x505,%edx; mov $1,%eax; out %al,(%dx); ret
    code.write(b"\xba\x05\x05\x00\x00\xb8\x01\x00\x00\x00\xee\xc3")
    function = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    function.code = code  # type: ignore[attr-defined] # keeps the page alive
    return function


if __name__ == "__main__":
    sys.exit(main())
