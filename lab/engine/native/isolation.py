# SPDX-License-Identifier: Apache-2.0
"""Isolate native trials from the host, and clean up after lab processes that were killed.

The agent runs in network, process and mount namespaces of its own.  Nodes, interfaces and queue disciplines exist only
there, and when the agent ends, the kernel kills every process in these namespaces.  The agent itself is killed when its
``lab`` process ends for whatever reason.  Parameters of kernel modules belong to no namespace, so their values are
saved in a file before a trial changes them.

What is left is told by its owner (:mod:`lab.store.owner`).  A host sees the processes of its containers, where another
``lab`` may run trials: those are never touched.
"""

from __future__ import annotations

import contextlib
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
from lab.store.owner import Judgement, judge, own_name

STATE = Path("/run/lab")
MARK = "LAB_NATIVE_OWNER"
"""The environment variable that holds, in every process of a trial, the name of the ``lab`` process that started it, as
:func:`lab.store.owner.own_name` gives it."""

_FOREIGN = (Judgement.UNKNOWN, Judgement.NONE)


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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise
    except BlockingIOError:
        raise EngineError(
            "another lab runs native trials on this machine; wait for it to end, because trials that run at the same "
            "time would disturb each other"
        ) from None
    except OSError as exc:
        hint = "; run the command with sudo" if isinstance(exc, PermissionError) else ""
        raise EngineError(f"cannot write {STATE}: {exc.strerror}{hint}") from exc
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
        write_file(_own_note(), json.dumps(now).encode("ascii"))


def _own_note() -> Path:
    return STATE / f"parameters-{own_name()}.json"


@dataclass(frozen=True)
class Leftovers:
    """What ``lab`` processes that no longer run have left behind."""

    processes: tuple[int, ...]
    """Ids of processes that are still running."""
    parameters: dict[str, str]
    """Path of a changed module parameter → its original value."""
    foreign: tuple[int, ...] = ()
    """Ids of processes of trials whose ``lab`` is in another container, where it may still run."""

    def __bool__(self) -> bool:
        return bool(self.processes or self.parameters)


def restore() -> None:
    """Restore the module parameters that this process has changed."""
    if _own_note().exists():
        _restore(_own_note())


def _restore(note: Path) -> None:
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
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise EngineError(
            f"{note} is damaged, so that the kernel parameters that a lab process changed are not known: reload the "
            "tcp_… modules, or start the machine again, and remove this file"
        )
    return found


def leftovers() -> Leftovers:
    """Return what ``lab`` processes that no longer run have left behind on this machine.

    The caller must hold the lock of :func:`only_one`.  Whoever saves parameters holds it until they are restored, so
    all saved parameters are those of processes that have ended, in whichever container they ran.
    """
    parameters: dict[str, str] = {}
    for note in _notes():
        parameters |= _noted(note)
    marked = _marked()
    return Leftovers(
        tuple(process for process, owner in marked.items() if judge(owner) is Judgement.ENDED),
        parameters,
        tuple(process for process, owner in marked.items() if judge(owner) in _FOREIGN),
    )


def clean() -> Leftovers:
    """Kill leftover processes, restore leftover parameters, and return what was found.

    Processes whose owner cannot be judged are left alone, however old they are.  The caller must hold the lock of
    :func:`only_one`.
    """
    found = leftovers()
    for process in found.processes:
        _kill(process)
    for note in _notes():
        _restore(note)
    return found


def _notes() -> list[Path]:
    """Return the files with saved parameters, newest first: the oldest one has the original values."""
    saved: list[tuple[int, Path]] = []
    for note in STATE.glob("parameters-*.json"):
        with contextlib.suppress(FileNotFoundError):  # another process may have restored its values in the meantime
            saved.append((note.stat().st_mtime_ns, note))
    return [note for _when, note in sorted(saved, reverse=True)]


def _kill(process: int) -> None:
    """Kill a process if it is still one whose owner has ended: its id may have passed to another process."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        owner = _owner_of(Path("/proc", str(process)))
        if owner is not None and judge(owner) is Judgement.ENDED:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _marked() -> dict[int, str]:
    """Return the processes of native trials: id → name of the owner."""
    owners = {
        int(folder.name): _owner_of(folder) for folder in sorted(Path("/proc").iterdir()) if folder.name.isdigit()
    }
    return {process: owner for process, owner in owners.items() if owner is not None}


def _owner_of(process: Path) -> str | None:
    """Return the name of the owner of a process, given as its folder in ``/proc``; None if it belongs to no trial."""
    mark = f"{MARK}=".encode()
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    found = (variable[len(mark) :] for variable in variables if variable.startswith(mark))
    return next((owner.decode("ascii", "replace") for owner in found), None)
