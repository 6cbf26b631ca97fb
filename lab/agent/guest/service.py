# SPDX-License-Identifier: Apache-2.0
"""What the agent does in every guest: prepare itself, run the job that it is given, and hand over the record."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import signal
import sys
import tarfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Protocol

from lab.agent.collectors.bcc_loader import BccPrograms
from lab.agent.collectors.loader import BPF_WARNINGS
from lab.agent.collectors.registry import RECORDERS
from lab.agent.process import run
from lab.agent.topology.netns import write_sysctl
from lab.agent.trial import run_trial
from lab.agent.watched import Host, Onlooker
from lab.job.bpf_sources import BPF_SOURCES
from lab.job.kernels import netem_takes_seeds
from lab.job.machines import socket_memory_bytes
from lab.job.mailbox import State
from lab.job.protocol import Job

_TRIAL_DIRECTORY = Path("/run/trial")
_VIRTUAL_LIMIT_EXTRA_S = 180
_RNDRESEEDCRNG = 0x5207
"""The ioctl number of RNDRESEEDCRNG, ``_IO('R', 0x07)`` in include/uapi/linux/random.h."""
_MODULES = (
    "veth", "ifb", "bridge", "tcp_diag", "udp_diag",
    "act_mirred", "act_skbedit", "cls_matchall", "cls_bpf", "sch_ingress", "sch_netem", "sch_tbf", "sch_htb",
    "sch_codel", "sch_fq", "sch_pie", "sch_fq_pie", "sch_red", "sch_sfq", "sch_cake", "sch_prio",
)  # fmt: skip


class Exchange(Protocol):
    """How the agent gets a job from the host and returns progress and a record.

    The implementations are :class:`lab.job.mailbox.Mailbox` and :class:`lab.job.folder.SharedFolder`.
    """

    @property
    def job(self) -> bytes:
        """The job that the host has written."""

    state: State
    virtual_ns: int
    """The virtual time since the start of traffic, in nanoseconds."""

    def write(self, data: bytes) -> int:
        """Append *data* to the record."""

    def clear_record(self) -> None:
        """Remove what has been written to the record."""

    @property
    def is_watched(self) -> bool:
        """Whether the host wants frames while the trial runs."""

    @property
    def control(self) -> bytes:
        """What the host asks of a watched trial."""

    def publish(self, frame: bytes) -> bool:
        """Add a frame for the host; return False if there is no room for it yet."""


def prepare(self_test: Job, exchange: Exchange, *, engine: str) -> BccPrograms:
    """Do all work that is slow and the same for every trial; the self-test shows that everything works.

    ``engine`` is the name that the records give to the engine.

    Raises:
        RuntimeError: The self-test failed.
    """
    # This call makes the kernel gather its first entropy, from timer jitter that is the same in every guest.
    # Otherwise the first program that reads /dev/urandom would spend a second on it.
    os.getrandom(16)
    load_modules()
    _give_memory_to_sockets(engine)
    programs = BccPrograms(BPF_SOURCES, tuple(RECORDERS))
    if programs.warnings:
        sys.stderr.write(f"{BPF_WARNINGS}\n{programs.warnings}\n")
        sys.stderr.flush()
    # The short trial also brings the programs and libraries into the page cache.
    record = run_trial(self_test, programs, _fresh_directory(), lambda _ns: None, engine=engine)
    if record["status"] != "ok":
        raise RuntimeError(f"the self-test failed: {record['error']}\n{record.get('traceback', '')}")
    _deliver(_TRIAL_DIRECTORY, exchange)
    exchange.clear_record()
    gc.collect()
    gc.freeze()
    return programs


def serve(exchange: Exchange, programs: BccPrograms, *, engine: str, pause: Callable[[], None]) -> None:
    """Run the job in *exchange* and leave the record there, or a message if that is impossible.

    A watched trial leaves no record: the host has seen everything.

    Args:
        engine: The name that the record gives to the engine.
        pause: Lets the host do something while no virtual time passes; it may return at once.
    """
    try:
        exchange.state = State.RUNNING
        job: Job = json.loads(exchange.job)
        if exchange.is_watched:
            host = Host(exchange, pause)
            host.end(_run(job, programs, exchange, engine, host)[1])
        else:
            _deliver(_run(job, programs, exchange, engine, None)[0], exchange)
        exchange.state = State.DONE
    except BaseException:
        report_failure(exchange)


def report_failure(exchange: Exchange) -> None:
    """Write the traceback of the exception that is being handled in place of the record."""
    exchange.clear_record()
    exchange.write(traceback.format_exc().encode())
    exchange.state = State.FAILED


def load_modules() -> None:
    """Load all kernel modules that a trial may need, including every congestion control algorithm."""
    if not Path("/proc/modules").exists():
        return  # A kernel without modules has everything built in, or lacks it.
    congestion_control = sorted(
        path.name.split(".")[0] for path in Path("/lib/modules").glob("*/kernel/net/ipv4/tcp_*.ko*")
    )
    run(["modprobe", "-a", *_MODULES, *congestion_control])


def _give_memory_to_sockets(engine: str) -> None:
    """Set the kernel's limits for the memory of all sockets together (tcp_mem and udp_mem, in pages).

    The kernel's own limits are a small part of the memory, and it would slow down TCP when half of them is used.
    """
    budget = socket_memory_bytes(engine)
    if budget is not None:
        pages = budget // os.sysconf("SC_PAGE_SIZE")
        for name in ("net.ipv4.tcp_mem", "net.ipv4.udp_mem"):
            write_sysctl(name, f"{pages} {pages} {pages}")


def _fresh_directory() -> Path:
    shutil.rmtree(_TRIAL_DIRECTORY, ignore_errors=True)
    _TRIAL_DIRECTORY.mkdir()
    return _TRIAL_DIRECTORY


def _run(
    job: Job, programs: BccPrograms, exchange: Exchange, engine: str, onlooker: Onlooker | None
) -> tuple[Path, str]:
    """Run a job; return the directory of its record, and why it has failed, or an empty text."""

    def on_alarm(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(
            f"the trial was still running {_VIRTUAL_LIMIT_EXTRA_S} s of virtual time after the planned end of traffic"
        )

    def progress(now_ns: int) -> None:
        exchange.virtual_ns = now_ns

    if not netem_takes_seeds(os.uname().release):
        _seed_kernel(job["seed"])
    directory = _fresh_directory()
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(job["duration_ns"] // 1_000_000_000 + _VIRTUAL_LIMIT_EXTRA_S)
    record = run_trial(job, programs, directory, progress, engine=engine, onlooker=onlooker)
    signal.alarm(0)
    return directory, record.get("error", "")


def _seed_kernel(seed: int) -> None:
    """Seed the kernel's random number generator, for kernels whose netem takes no seed of its own.

    Without this, every machine restored from the snapshot would draw the same random numbers, whatever the trial's
    seed.
    """
    with open("/dev/urandom", "r+b", buffering=0) as generator:
        generator.write(seed.to_bytes(8, "big"))
        fcntl.ioctl(generator, _RNDRESEEDCRNG)


def _deliver(directory: Path, exchange: Exchange) -> None:
    """Write *directory* to the host as a tar archive, without anything that could differ between equal trials."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = 0
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(fileobj=exchange, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=1 << 20) as archive:  # type: ignore[call-overload]
        for path in sorted(directory.rglob("*")):
            archive.add(path, arcname=str(path.relative_to(directory)), recursive=False, filter=anonymous)
