# SPDX-License-Identifier: Apache-2.0
"""Run a compiler on a source that is not trusted, in namespaces of its own and with limits.

bubblewrap gives it no network, no processes but its own, no capabilities, and of the host's files only the programs
and libraries of ``/usr`` and the folders that it is to read, all of them read-only.  It writes to two descriptors that
are already open.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import MachineryError

__all__ = ["Ended", "Limits", "run"]

_RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_MAX_SAID = 64 * 1024


@dataclass(frozen=True)
class Limits:
    """What a compiler may use."""

    processor_s: int = 5
    wall_s: float = 20.0
    """The time that may pass; on a busy machine it passes faster than that of the processor."""
    memory_bytes: int = 1 << 30
    """The size of the address space."""
    file_bytes: int = 1 << 20
    """The size of the object, and that of the messages."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Ended:
    """How a command in the sandbox ended."""

    status: int
    """The exit status; -N if signal N ended the command, or if it passed a limit that the signal N stands for."""
    said: str
    """What it wrote to standard error."""
    is_late: bool = False
    """Whether it was ended because too much time had passed."""


def run(
    command: Sequence[str],
    folders: Mapping[Path, str],
    output: Path,
    messages: Path,
    limits: Limits = DEFAULT_LIMITS,
    *,
    system: Path | None = None,
) -> Ended:
    """Run *command*, whose standard output goes to the file *output* and standard error to the file *messages*.

    *folders* maps folders of the host to the paths at which the command finds them, read-only; it starts in the first.
    With *system*, the command finds ``/usr`` of this root file system in the place of the host's, and may write to
    ``/build``, which is in memory.

    Raises:
        MachineryError: bubblewrap is missing, or cannot make the namespaces; the message says what to do.  Nothing has
            been run then.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise MachineryError(
            "compiling a congestion control needs bubblewrap, in whose sandbox clang runs; `lab doctor --fix` installs "
            "it (Debian's package bubblewrap)"
        )
    with output.open("wb") as out, messages.open("wb") as errors:
        process = subprocess.Popen(
            [*_limited(limits), *_isolated(bwrap, folders, system), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        is_late = False
        try:
            process.wait(limits.wall_s)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    with messages.open("rb") as file:
        said = file.read(_MAX_SAID).decode(errors="replace")
    if said.startswith("bwrap: ") and process.returncode != 0:
        raise MachineryError(_no_namespaces(said.splitlines()[0]))
    # bubblewrap gives the exit status of a shell.
    status = process.returncode if process.returncode <= 128 else 128 - process.returncode
    return Ended(status, said, is_late)


def _limited(limits: Limits) -> list[str]:
    return [
        "prlimit",
        f"--cpu={limits.processor_s}",
        f"--as={limits.memory_bytes}",
        f"--fsize={limits.file_bytes}",
        "--core=0",
        "--nofile=64",
        "--",
    ]


def _isolated(bwrap: str, folders: Mapping[Path, str], system: Path | None) -> list[str]:
    arguments = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    arguments += ["--setenv", "PATH", "/usr/bin", "--setenv", "LC_ALL", "C.UTF-8"]
    if system is None:
        for folder in ("/usr/bin", "/usr/lib"):
            arguments += ["--ro-bind", folder, folder]
        # Where /lib64 is a folder of its own, it has the dynamic linker.
        arguments += ["--ro-bind-try", "/usr/lib64", "/usr/lib64"]
    else:
        arguments += ["--ro-bind", str(system / "usr"), "/usr"]
        arguments += ["--ro-bind", str(system / "etc/alternatives"), "/etc/alternatives"]
        # Since Linux 7.3, objtool reads the addresses of its own stack from /proc/self/maps.  There are no processes in
        # this /proc but those of the sandbox.
        arguments += ["--proc", "/proc"]
        arguments += ["--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/build", "--symlink", "usr/bin", "/bin"]
    arguments += ["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    for outside, inside in folders.items():
        arguments += ["--ro-bind", str(outside), inside]
    return [*arguments, "--chdir", next(iter(folders.values())), "--"]


def _no_namespaces(reason: str) -> str:
    """Return a message that says why there is no sandbox, and what to do about it."""
    message = f"the sandbox in which clang compiles a congestion control cannot be made ({reason})"
    with contextlib.suppress(OSError):
        if os.geteuid() != 0 and _RESTRICTED.read_text(encoding="ascii").strip() == "1":
            return (
                f"{message}; AppArmor keeps programs from making user namespaces on this system, and "
                "docs/how-to/own-algorithm.md has the profile that allows it to bubblewrap"
            )
    return f"{message}; bubblewrap needs user namespaces (sysctl user.max_user_namespaces), or root"
