# SPDX-License-Identifier: Apache-2.0
"""Run mmdebstrap in such a way that it ends with its caller, and follow its progress."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TextIO

from lab.engine.base import Notice
from lab.engine.debian.stopping import StoppedError
from lab.errors import ImageError
from lab.store.folders import scratch_folder

SUITE = "trixie"
"""The Debian release from which everything is made."""

SUITE_PLACE = "@SUITE@"
"""What stands for the Debian release in a source of packages that is given in the place of a mirror."""

NO_ADDED_TIME = "1735689600"
"""SOURCE_DATE_EPOCH: the time stamp, in seconds since 1970, of everything that would otherwise contain the time of its
build."""

_OWN_MOUNTS = ("unshare", "--mount", "--")
"""The beginning of the command line of a program whose mounts nobody else sees; they go away with its last process."""

_POLL_S = 0.1
_STOP_LIMIT_S = 20.0
"""Time that mmdebstrap is given to remove its unpacked files after it has been told to stop."""

Progress = Callable[[str], None]


def package_list() -> dict[str, bytes]:
    """Return the program with which hooks list the packages of a root file system, for :func:`files_for_hooks`."""
    name = "packages.awk"
    return {name: resources.files("lab.engine.debian").joinpath(name).read_bytes()}


def check_tools(*tools: str) -> None:
    """Check that this machine has mmdebstrap, and *tools*, whose packages have the same names.

    Raises:
        ImageError: One of them is missing; the message says what to do, also on machines that cannot have it.
    """
    missing = [tool for tool in ("mmdebstrap", *tools) if shutil.which(tool) is None]
    if missing:
        raise ImageError(
            f"this machine lacks {' and '.join(missing)}, with which lab builds what trials run in: on Debian and "
            "Ubuntu, `lab doctor --fix` installs it; anywhere else, take a bundle from a machine that has one "
            "(`lab bundle export FILE` there, `lab bundle import FILE` here), or run lab in a container (Containerfile)"
        )


@contextlib.contextmanager
def files_for_hooks(files: Mapping[str, bytes | Path], progress: Progress) -> Iterator[Path]:
    """Yield a temporary folder with *files* (relative path → content, or the file to copy) that every hook can read.

    If mmdebstrap is not run by root, its hooks run as a user who cannot enter the folders of the user who started it.
    Scripts (``*.sh``) are executable.  *progress* is called with messages about what killed processes have left.
    """
    with scratch_folder("hooks", lambda message: progress(Notice(message)), Path(_temporary_folder())) as folder:
        folder.chmod(0o755)
        for file_name, content in files.items():
            file = folder / file_name
            file.parent.mkdir(parents=True, exist_ok=True)
            for above in list(file.relative_to(folder).parents)[:-1]:
                (folder / above).chmod(0o755)
            if isinstance(content, Path):
                shutil.copyfile(content, file)
            else:
                file.write_bytes(content)
            file.chmod(0o755 if file.suffix == ".sh" else 0o644)
        yield folder


def _temporary_folder() -> str:
    """Return the folder for large temporary files; the usual default, /tmp, is often in memory."""
    return os.environ.get("TMPDIR", "/var/tmp")


def bootstrap(
    arguments: Sequence[str],
    target: str,
    *,
    packages: Sequence[str] = (),
    log: Path,
    progress: Progress,
    mirror: str | None,
    suite: str = SUITE,
    installs: bool = True,
    stop: threading.Event | None = None,
) -> None:
    """Make a root file system with *packages* and their dependencies; without packages, an empty one.

    Args:
        arguments: Further options of mmdebstrap.  It calls hooks as root, or as a user that appears as root in a user
            namespace.
        target: Where mmdebstrap puts the result; its name decides about the format.
        packages: Names of Debian packages.
        log: The file to which everything that mmdebstrap prints is written.
        progress: Called with each step that mmdebstrap or a hook prints as ``I: STEP...``.
        mirror: The Debian mirror to use, or a line of sources.list(5) in which :data:`SUITE_PLACE` stands for the
            release; None for mmdebstrap's default.
        suite: The code name of the Debian release.
        installs: Whether the packages are installed with their scripts, or only unpacked.  If they are only unpacked,
            mmdebstrap calls extract hooks, but no customize hooks.
        stop: Another thread sets it to end this call early.

    Raises:
        StoppedError: *stop* was set.
        ImageError: mmdebstrap failed.  The message names the log.
    """
    variant = ("essential" if installs else "extract") if packages else "custom"
    command = _command([f"--variant={variant}", *arguments], target, packages, suite, mirror)
    log.parent.mkdir(parents=True, exist_ok=True)
    if not _can_have_own_mounts():
        _run(command, _temporary_folder(), log, progress, stop)
        return
    # mmdebstrap mounts file systems in its temporary folder.  With mounts of its own, none stays if it is killed, and
    # what it leaves of its folder can be removed.
    with scratch_folder("root", lambda message: progress(Notice(message)), Path(_temporary_folder())) as folder:
        folder.chmod(0o755)
        _run([*_OWN_MOUNTS, *command], str(folder), log, progress, stop)


def _can_have_own_mounts() -> bool:
    """Return whether a program can be given mounts of its own.

    Users other than root need not ask: mmdebstrap then makes a user namespace, with mounts of its own.
    """
    return (
        os.geteuid() == 0 and subprocess.run([*_OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0
    )


def _run(command: Sequence[str], temporary: str, log: Path, progress: Progress, stop: threading.Event | None) -> None:
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": NO_ADDED_TIME,
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": temporary,
    }
    # The output goes to a file rather than a pipe, because mmdebstrap also prints while it cleans up after lab has been
    # killed, and with a closed pipe it could not finish.
    with open(log, "wb") as out, open(log, encoding="utf-8", errors="replace") as printed:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            _follow(process, printed, progress, stop)
        except BaseException:
            _stop(process)
            raise
    if process.returncode != 0:
        raise ImageError(f"mmdebstrap failed (exit status {process.returncode}); {last_errors(log)} (log: {log})")


def _command(
    arguments: Sequence[str], target: str, packages: Sequence[str], suite: str, mirror: str | None
) -> list[str]:
    command = [
        *("setpriv", "--pdeathsig", "TERM", "sh", "-c", _supervisor(), "sh"),
        "mmdebstrap",
        *([f"--include={','.join(packages)}"] if packages else []),
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        *arguments,
        suite,
        target,
    ]
    return command if mirror is None else [*command, mirror.replace(SUITE_PLACE, suite)]


def last_errors(log: Path) -> str:
    """Return the last error messages in a log of mmdebstrap, or its last lines if it contains no such message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line.startswith(("E:", "Err:", "W: Failed"))]
    return "; ".join((errors or lines)[-3:])


def _supervisor() -> str:
    return resources.files("lab.engine.debian").joinpath("supervise.sh").read_text(encoding="utf-8")


def _follow(
    process: subprocess.Popen[bytes], printed: TextIO, progress: Progress, stop: threading.Event | None
) -> None:
    """Call ``progress`` with each step that the process prints, until the process has ended or *stop* is set."""
    rest = ""
    running = True
    while running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
        if stop is not None and stop.is_set():
            raise StoppedError
        running = process.returncode is None
        *lines, rest = (rest + printed.read()).split("\n")
        for line in lines:
            if line.startswith("I: ") and line.endswith("..."):
                progress(line[3:].rstrip("."))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
