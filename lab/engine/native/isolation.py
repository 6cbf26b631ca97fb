# SPDX-License-Identifier: Apache-2.0
"""Isolate native trials from the host, and clean up after lab processes that were killed.

The agent runs in network, process and mount namespaces of its own.  Nodes, interfaces and queue disciplines exist only
there, and when the agent ends, the kernel kills every process in these namespaces.  The agent itself is killed when its
``lab`` process ends for whatever reason.  Parameters of kernel modules belong to no namespace, so their values are
saved in a file before a trial changes them.
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
from lab.store.files import write_file

STATE = Path("/run/lab")
MARK = "LAB_NATIVE_OWNER"
"""The environment variable that holds, in every process of a trial, the process id of the ``lab`` that started it."""


def isolated(command: Sequence[str]) -> list[str]:
    """Return the command line that runs *command* in its own namespaces and kills it when the calling process ends."""
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        # The BPF programs of links are pinned for tc.  In the host's BPF file system, the pins would outlive a killed
        # agent, so a new one is mounted.
        *("sh", "-c", 'mount -t bpf bpf /sys/fs/bpf 2>/dev/null; exec "$@"', "sh"),
        *command,
    ]


def only_one() -> IO[str]:
    """Acquire the lock that only one ``lab`` with native trials can hold, and return it; closing it releases it.

    Raises:
        EngineError: Another ``lab`` holds the lock, or the lock's file cannot be written.
    """
    try:
        STATE.mkdir(parents=True, exist_ok=True)
        lock = open(STATE / "native.lock", "w", encoding="ascii")  # noqa: SIM115 - the caller closes it
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EngineError(
            "another lab runs native trials on this machine; wait for it to end, because trials that run at the same "
            "time would disturb each other"
        ) from None
    except OSError as exc:
        raise EngineError(f"cannot write {STATE}: {exc.strerror}") from exc
    return lock


def note_parameters(jobs: Iterable[Job]) -> None:
    """Save the current values of all kernel module parameters that the jobs change."""
    wanted = {
        Path(f"/sys/module/tcp_{algorithm}/parameters/{name}")
        for job in jobs
        for algorithm, values in job["congestion_control_parameters"].items()
        for name in values
    }
    now = {str(path): path.read_text(encoding="ascii").strip() for path in sorted(wanted) if path.exists()}
    if now:
        STATE.mkdir(parents=True, exist_ok=True)
        write_file(_note(os.getpid()), json.dumps(now).encode("ascii"))


def _note(owner: int) -> Path:
    return STATE / f"parameters-{owner}.json"


@dataclass(frozen=True)
class Leftovers:
    """What ``lab`` processes that no longer run have left behind."""

    processes: tuple[int, ...]
    """Ids of processes that are still running."""
    parameters: dict[str, str]
    """Path of a changed module parameter → its original value."""

    def __bool__(self) -> bool:
        return bool(self.processes or self.parameters)


def restore(owner: int | None = None) -> None:
    """Restore the module parameters that the process *owner* (default: this process) has changed.

    Raises:
        EngineError: The note of their values is damaged, or they cannot be written.
    """
    note = _note(os.getpid() if owner is None else owner)
    try:
        for path, value in _noted(note).items():
            if Path(path).exists():
                Path(path).write_text(value, encoding="ascii")
        note.unlink(missing_ok=True)
    except OSError as exc:
        raise EngineError(f"cannot restore {exc.filename or note}: {exc.strerror}; `lab clean` needs root") from exc


def _noted(note: Path) -> dict[str, str]:
    """Return the values in a note; empty if there is none, for example because another process has restored them.

    Raises:
        EngineError: The note cannot be read, or is damaged.
    """
    try:
        found = json.loads(note.read_text(encoding="ascii"))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise EngineError(f"cannot read {note}: {exc.strerror}; `lab clean` needs root") from exc
    except ValueError as exc:
        found = exc
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise EngineError(
            f"{note} is damaged, so that the kernel parameters that a lab process changed are not known: reload the "
            "tcp_… modules, or start the machine again, and remove this file"
        )
    return found


def _notes_of_the_dead() -> list[int]:
    """Return the ids of the processes that no longer run and have left a note."""
    owners = [note.stem.partition("-")[2] for note in sorted(STATE.glob("parameters-*.json"))]
    return [int(owner) for owner in owners if owner.isdecimal() and not _runs(int(owner))]


def leftovers() -> Leftovers:
    """Return what ``lab`` processes that no longer run have left behind on this machine."""
    parameters: dict[str, str] = {}
    for owner in _notes_of_the_dead():
        parameters |= _noted(_note(owner))
    return Leftovers(tuple(_orphans()), parameters)


def clean() -> Leftovers:
    """Kill leftover processes, restore leftover parameters, and return what was found.

    Raises:
        EngineError: A process cannot be ended, or a parameter cannot be restored.
    """
    found = leftovers()
    for process in found.processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
        except PermissionError as exc:
            raise EngineError(f"cannot end the process {process}: {exc.strerror}; `lab clean` needs root") from exc
    for owner in _notes_of_the_dead():
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
        owner = next((variable[len(mark) :] for variable in variables if variable.startswith(mark)), None)
        if owner is not None and owner.isdigit() and not _runs(int(owner)):
            found.append(int(folder.name))
    return found


def _runs(process: int) -> bool:
    return Path("/proc", str(process)).exists()
