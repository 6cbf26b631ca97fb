# SPDX-License-Identifier: Apache-2.0
"""Run one trial many times in User-mode Linux, under all conditions that could make a difference, and compare records.

``make exact`` runs this.  The exit status is 1 if any two records differ.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.disturbances import busy, stopped_and_continued
from benchmarks.measure import shipped_plan
from lab.engine.image.build import Image
from lab.engine.selftest import self_test_job
from lab.engine.uml import arguments
from lab.engine.uml.build import UmlKernel
from lab.engine.uml.engine import UmlEngine
from lab.engine.uml.zygote import Zygote
from lab.job.folder import SharedFolder
from lab.job.mailbox import State
from lab.job.protocol import Job
from lab.store.folders import scratch_folder

LIMIT_S = 90.0

_SYS_PERSONALITY = 135
_NOBODY = 65534


@dataclass
class Setting:
    """How an instance is started, as a plain boot."""

    prefix: list[str] = field(default_factory=list)
    """The beginning of the command line."""
    environment: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    """Called in the new process before it becomes the kernel."""
    folder: str = "plain"
    """The name of the current folder."""
    during: Callable[[int], contextlib.AbstractContextManager[None]] = lambda _pid: contextlib.nullcontext()
    """What goes on while the instance runs; the argument is the id of its process."""
    edit: Callable[[bytes], bytes] = lambda initramfs: initramfs


def settings() -> dict[str, Setting]:
    """Return name → setting of each plain boot.  Some of them are random."""
    last = str(max(os.sched_getaffinity(0)))
    pinned = ["taskset", "--cpu-list", "0"]
    chatter = {f"X{number}": "y" * random.randrange(300) for number in range(random.randrange(1, 100))}
    as_nobody = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--no-new-privs"]
    sandbox = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none /dev/shm; exec "$@"', "sh"]
    return {
        "pinned to the first processor": Setting(pinned),
        "pinned to the last processor": Setting(["taskset", "--cpu-list", last]),
        "another environment and folder": Setting(pinned, chatter, folder="z" * random.randrange(1, 60)),
        "low priority among busy loops": Setting(["nice", "-n", "19", *pinned], during=busy),
        "stopped and continued all the time": Setting(pinned, during=stopped_and_continued),
        "as another user": Setting([*pinned, *as_nobody]),
        "in a sandbox": Setting([*sandbox, *pinned, *as_nobody], before=_forbid_personality),
        # The length of the text must stay, because the layout of the stack depends on it.
        "with all features of the processor": Setting(pinned, edit=lambda data: data.replace(b"=-AVX", b"=xAVX")),
    }


def _forbid_personality() -> None:
    """Make personality() fail, as in Docker's default profile."""
    rules = [(0x20, 0, 0, 0), (0x15, 0, 1, _SYS_PERSONALITY), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError("cannot install a seccomp filter")


def plain_boot(kernel: UmlKernel, image: Image, job: Job, scratch: Path, setting: Setting) -> str:
    """Boot an instance for one job, without a zygote, and return the digest of its record."""
    folder = scratch / setting.folder
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    try:
        arguments.put_files(folder, image)
        initramfs = folder / arguments.INITRAMFS
        initramfs.write_bytes(setting.edit(initramfs.read_bytes()))
        # Another user may not be able to read the cache.
        (folder / arguments.ROOT).unlink()
        shutil.copyfile(image.root_file, folder / arguments.ROOT)
        shutil.copy(kernel.program, folder / "linux")
        SharedFolder(folder).initialise(json.dumps(job, sort_keys=True).encode())
        with open(folder / "console.log", "wb") as console:
            process = subprocess.Popen(
                [*setting.prefix, "./linux", *arguments.ARGUMENTS],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={"PATH": os.defpath, **setting.environment},
                preexec_fn=setting.before,
                start_new_session=True,
            )
        with setting.during(process.pid):
            process.wait(LIMIT_S)
        return _digest(folder)
    finally:
        shutil.rmtree(folder)


def forked(zygote: Zygote, job: Job, folder: Path, processor: int, *, storm: bool = False) -> str:
    """Run one job in a child of a zygote and return the digest of its record."""
    folder.mkdir()
    try:
        SharedFolder(folder).initialise(json.dumps(job, sort_keys=True).encode())
        child = zygote.fork(folder, processor).result(LIMIT_S)
        with stopped_and_continued(child.pid) if storm else contextlib.nullcontext():
            child.ended.result(LIMIT_S)
        return _digest(folder)
    finally:
        shutil.rmtree(folder)


def _digest(folder: Path) -> str:
    shared = SharedFolder(folder)
    if shared.state is not State.DONE:
        console = (folder / "console.log").read_text(errors="replace")
        raise RuntimeError(f"the trial ended in the state {shared.state.name}; the console: {console}")
    return hashlib.sha256(shared.record_file.read_bytes()).hexdigest()


def all_collectors(cc: str, duration: str = "10s") -> Job:
    """Return a job with some loss, recorded by all collectors."""
    overrides = ["repeat=1", "engine=uml", f"duration={duration}", f"matrix.flows.bulk.cc=[{cc}]"]
    (trial,) = shipped_plan(*overrides, "matrix.topology.bottleneck.loss=[0.1%]").trials
    return {**trial.job, "collectors": self_test_job()["collectors"]}


def replays(job: Job, times: int, said: Callable[[str, str], None], boots: Mapping[str, Setting] | None = None) -> None:
    """Run *job* once under each setting of a plain boot, and *times* times in children of two zygotes.

    *boots* are the settings, by name; without them, all.

    ``said`` is called with the condition and the digest of each record.
    """
    engine = UmlEngine()
    engine.locate(print)
    kernel, image = engine.parts()
    processors = sorted(os.sched_getaffinity(0))
    with scratch_folder("exactness", print) as scratch:
        scratch.chmod(0o755)
        for condition, setting in (settings() if boots is None else boots).items():
            said(condition, plain_boot(kernel, image, job, scratch, setting))
        for number in range(2):
            with contextlib.closing(_zygote(kernel, image, scratch, processors[number % len(processors)])) as zygote:
                _from_zygote(zygote, job, scratch, times // 2, said)


def _zygote(kernel: UmlKernel, image: Image, scratch: Path, processor: int) -> Zygote:
    folder = scratch / "zygote"
    folder.mkdir()
    arguments.put_files(folder, image)
    zygote = Zygote(kernel.program, folder, processor)
    zygote.ready.result(LIMIT_S)
    shutil.rmtree(folder)
    return zygote


def _from_zygote(zygote: Zygote, job: Job, scratch: Path, times: int, said: Callable[[str, str], None]) -> None:
    """Run *job* in *times* children, one on each processor at a time, every fourth of them in a storm."""
    numbers = iter(range(times))
    lock = threading.Lock()

    def work(processor: int) -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            storm = number % 4 == 3
            digest = forked(zygote, job, scratch / f"child-{number}", processor, storm=storm)
            with lock:
                said("a zygote's child" + (", stopped and continued" if storm else ""), digest)

    workers = [threading.Thread(target=work, args=(processor,)) for processor in sorted(os.sched_getaffinity(0))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=92, help="number of forked trials per job [default: %(default)s]")
    chosen: Any = parser.parse_args()
    exact = True
    for cc in ("cubic", "bbr"):
        digests: Counter[str] = Counter()
        counts: Counter[str] = Counter()

        def said(
            condition: str, digest: str, digests: Counter[str] = digests, counts: Counter[str] = counts, cc: str = cc
        ) -> None:
            digests[digest] += 1
            counts[condition] += 1
            print(f"{cc} {digest[:16]} {condition}", flush=True)

        replays(all_collectors(cc), chosen.times, said)
        print(f"{cc}: {digests.total()} replays under {len(counts)} conditions gave {len(digests)} record(s)")
        exact = exact and len(digests) == 1
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
