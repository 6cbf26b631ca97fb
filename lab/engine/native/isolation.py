# SPDX-License-Identifier: Apache-2.0
"""Namespaces in which a trial can leave nothing behind, and what is left all the same by labs that were killed.

The agent runs in network, process and mount namespaces of its own: nodes, interfaces and queue disciplines exist
nowhere else, and the kernel ends every process in them with the agent.  The agent ends with ``lab``, however that
ends.  What is not in any namespace, parameters of kernel modules, is noted in a file before it is changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.errors import EngineError
from lab.job.protocol import Job

STATE = Path("/run/lab")
MARK = "LAB_NATIVE_OWNER"
"""In the environment of every process of a trial: the process id of its lab."""


def isolated(command: Sequence[str]) -> list[str]:
    """Return the command that runs *command* in namespaces of its own, and ends it with whoever starts it."""
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        # BPF programs that links pin for tc would outlive a killed agent in the host's own file system.
        *("sh", "-c", 'mount -t bpf bpf /sys/fs/bpf 2>/dev/null; exec "$@"', "sh"),
        *command,
    ]


def only_one() -> IO[str]:
    """Return the lock that native trials hold, until it is closed; EngineError if another lab has it."""
    try:
        STATE.mkdir(parents=True, exist_ok=True)
        lock = open(STATE / "native.lock", "w", encoding="ascii")  # noqa: SIM115 - whoever closes it gives it back
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EngineError("another lab runs native trials here; two at a time would disturb each other") from None
    except OSError as exc:
        raise EngineError(f"cannot write {STATE}: {exc.strerror}") from exc
    return lock


def note_parameters(jobs: Iterable[Job]) -> None:
    """Write down what the jobs change of the host's kernel modules, as it is now."""
    wanted = {
        Path(f"/sys/module/tcp_{algorithm}/parameters/{name}")
        for job in jobs
        for algorithm, values in job["congestion_control_parameters"].items()
        for name in values
    }
    now = {str(path): path.read_text(encoding="ascii").strip() for path in sorted(wanted) if path.exists()}
    if now:
        STATE.mkdir(parents=True, exist_ok=True)
        _note(os.getpid()).write_text(json.dumps(now), encoding="ascii")


def _note(owner: int) -> Path:
    return STATE / f"parameters-{owner}.json"


@dataclass(frozen=True)
class Leftovers:
    """What a lab that is gone has left."""

    processes: tuple[int, ...]
    parameters: dict[str, str]
    """Path → what it was before."""

    def __bool__(self) -> bool:
        return bool(self.processes or self.parameters)


def restore(owner: int | None = None) -> None:
    """Put back the parameters that *owner* (default: this process) has changed."""
    note = _note(os.getpid() if owner is None else owner)
    if not note.exists():
        return
    for path, value in json.loads(note.read_text(encoding="ascii")).items():
        if Path(path).exists():
            Path(path).write_text(value, encoding="ascii")
    note.unlink()


def leftovers() -> Leftovers:
    """Return what labs that no longer run have left on this machine."""
    parameters: dict[str, str] = {}
    for note in STATE.glob("parameters-*.json"):
        if not _runs(int(note.stem.partition("-")[2])):
            parameters |= json.loads(note.read_text(encoding="ascii"))
    return Leftovers(tuple(_orphans()), parameters)


def clean() -> Leftovers:
    """Remove it; returns what was removed."""
    found = leftovers()
    for process in found.processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for note in STATE.glob("parameters-*.json"):
        owner = int(note.stem.partition("-")[2])
        if not _runs(owner):
            restore(owner)
    return found


def _orphans() -> list[int]:
    found = []
    mark = f"{MARK}=".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        owner = next((one[len(mark) :] for one in variables if one.startswith(mark)), None)
        if owner is not None and owner.isdigit() and not _runs(int(owner)):
            found.append(int(folder.name))
    return found


def _runs(process: int) -> bool:
    return Path("/proc", str(process)).exists()
