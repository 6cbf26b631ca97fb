# SPDX-License-Identifier: Apache-2.0
"""Run one QEMU process and control it over QMP.

The kernel kills the QEMU process when the process that started it ends, for whatever reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import re
import shlex
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from lab.engine.emulator.build import LOCKSTEP, QEMU, Emulator, command_of
from lab.engine.tethered import tethered
from lab.engine.vm import qemu as arguments
from lab.errors import EngineError, LostVMError
from lab.job.mailbox import MAILBOX_BYTES, Mailbox

ANSWER_LIMIT_S = 120.0
"""The maximum time, in seconds, that QEMU may take to start, to answer a command, or to restore or save a machine."""
_STOPPED = "guest-panicked"
_CONSOLE_TAIL_LINES = 12


class Machine:
    """A running QEMU process; :func:`start` starts one."""

    def __init__(self, process: asyncio.subprocess.Process, qmp: QMPClient, mailbox: Mailbox, console: Path) -> None:
        self.process = process
        self.mailbox = mailbox
        self.console = console
        self._qmp = qmp

    async def run_until_stop(self) -> None:
        """Let the guest run until it stops the machine (see :mod:`lab.agent.guest.vm`).

        Raises:
            LostVMError: The QEMU process has ended.
        """
        with self._qmp.listener(("GUEST_PANICKED",)) as events:
            # lockstep.c lets QEMU's main loop wait while the guest is busy, so the answer may come only when the guest
            # is idle for the first time.  On a loaded machine, a guest that boots is busy for minutes.
            answered = asyncio.ensure_future(self.command("cont", may_take_long=True))
            stopped = asyncio.ensure_future(events.get())
            ended = asyncio.ensure_future(self.process.wait())
            try:
                await asyncio.wait((answered, stopped, ended), return_when=asyncio.FIRST_COMPLETED)
                if answered.done():
                    answered.result()
                    await asyncio.wait((stopped, ended), return_when=asyncio.FIRST_COMPLETED)
                if not stopped.done():
                    raise self.lost()
            finally:
                for future in (answered, stopped, ended):
                    future.cancel()

    async def ignore_shared_memory(self) -> None:
        """Exclude RAM, root file system and mailbox from the machine's saved state.

        All three are files that outlive the machine.
        """
        capability = {"capability": "x-ignore-shared", "state": True}
        await self.command("migrate-set-capabilities", {"capabilities": [capability]})

    async def restore(self, state_fd: int) -> None:
        """Restore the machine's state from the file descriptor ``state_fd``; the machine is then stopped.

        Raises:
            EngineError: QEMU cannot restore it.
            LostVMError: The QEMU process has ended, or needs too long.
        """
        # By default, QEMU makes a restored machine announce itself to the network, with a timer of the host's clock.
        # This must be switched off because lockstep.c requires that the machine has no such timers.
        await self.command("migrate-set-parameters", {"announce-rounds": 0})
        await self.command("migrate-incoming", {"uri": f"fd:{state_fd}"})
        end = time.monotonic() + ANSWER_LIMIT_S
        while (status := await self.status()) == "inmigrate":
            self._check_time(end, "restore the machine")
            await asyncio.sleep(0.002)
        if status not in (_STOPPED, "paused", "postmigrate"):
            raise EngineError(f"the restored virtual machine has the unexpected status {status!r}")

    async def save(self, path: Path) -> None:
        """Save the state of the stopped machine, without its RAM, to the file ``path``."""
        await self.command("migrate", {"uri": f"exec:cat > {shlex.quote(str(path))}"})
        end = time.monotonic() + ANSWER_LIMIT_S
        while (progress := await self.command("query-migrate")).get("status") != "completed":
            if progress.get("status") in ("failed", "cancelled"):
                raise EngineError(f"cannot save the virtual machine: {progress.get('error-desc', progress)}")
            self._check_time(end, "save the machine")
            await asyncio.sleep(0.01)

    async def status(self) -> str:
        """Return the run state of the machine, as QEMU names it."""
        return str((await self.command("query-status"))["status"])

    async def command(
        self, name: str, parameters: dict[str, object] | None = None, *, may_take_long: bool = False
    ) -> Any:
        """Execute a QMP command and return its result; unless it may take long, QEMU must give it in time.

        Raises:
            EngineError: QEMU reports an error.
            LostVMError: The QEMU process has ended, or does not answer.
        """
        limit = None if may_take_long else ANSWER_LIMIT_S
        try:
            async with asyncio.timeout(limit):
                return await self._qmp.execute(name, parameters)
        except TimeoutError:
            raise self._unresponsive(f"answer the command {name}") from None
        except (QMPError, OSError, EOFError) as exc:
            if self.process.returncode is not None or not isinstance(exc, QMPError):
                raise self.lost() from exc
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.process.wait()
                raise self.lost() from exc
            raise EngineError(f"QEMU rejected the command {name}: {exc}") from exc

    def _check_time(self, end: float, what: str) -> None:
        """Raise a :class:`LostVMError` if ``time.monotonic()`` has passed *end*."""
        if time.monotonic() > end:
            raise self._unresponsive(what)

    def _unresponsive(self, what: str) -> LostVMError:
        return LostVMError(f"QEMU did not {what} within {ANSWER_LIMIT_S:g} s", log=self.console)

    def lost(self) -> LostVMError:
        """Return the error for a machine that has ended, with the last lines of its console."""
        status = self.process.returncode
        tail = console_tail(self.console)
        ending = f"; the console ends with: {tail}" if tail else ""
        return LostVMError(
            f"the virtual machine ended before the trial did (exit status {status}){ending}", log=self.console
        )


_MODULE = re.compile(r"\[lab_module_\w+\]")
_PROGRAM = re.compile(r"\bbpf_prog_[0-9a-f]{16}_")
"""Whose functions the kernel's traces name: the user's modules, as lab.cc.module calls them, and BPF programs."""


def console_tail(console: Path) -> str:
    """Return the lines of the file *console* that say why the machine has ended, or else its last lines.

    These are the first line of a failed boot, or of a kernel panic.  If the panic began with an oops, its line comes
    first, with the first function of a kernel module or BPF program that was being executed, such as an algorithm of
    the user.
    """
    try:
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in lines if line.strip()]
    panics = [line for line in lines if "Kernel panic" in line or "lab-init:" in line]
    oops = [line for line in lines if "Oops:" in line][:1] if panics else []
    # A module comes first, because programs that only trace the kernel may be running as well.
    own = [line for pattern in (_MODULE, _PROGRAM) for line in lines if pattern.search(line)][:1] if oops else []
    return " | ".join([*oops, *own, *panics[:1]] or lines[-_CONSOLE_TAIL_LINES:])


@asynccontextmanager
async def start(
    emulator: Emulator,
    machine: Sequence[str],
    job: bytes,
    console: Path,
    *,
    processor: int | None,
    state: Path | None = None,
    is_watched: bool = False,
) -> AsyncIterator[Machine]:
    """Start a machine with the options ``machine``, and kill it when the block ends.

    ``job`` is put into the machine's mailbox, with the wish to watch it if ``is_watched``, and the output of its
    console goes to the file ``console``.  QEMU is pinned to the host CPU ``processor``, if given.  The machine is
    restored from ``state``, if given, and otherwise boots; in both cases, it is stopped at first.

    Raises:
        EngineError: QEMU does not start, or the state cannot be restored.
    """
    with contextlib.ExitStack() as resources:
        # The mailbox has no name in any file system, so nothing is left behind even if this process is killed.
        memory_fd = os.memfd_create("lab-mailbox")
        resources.callback(os.close, memory_fd)
        os.ftruncate(memory_fd, MAILBOX_BYTES)
        memory = mmap.mmap(memory_fd, MAILBOX_BYTES)
        mailbox = Mailbox(memory)
        mailbox.initialise(job, is_watched=is_watched)
        ours, theirs = socket.socketpair()
        resources.callback(theirs.close)
        fds = [memory_fd, theirs.fileno()]
        command = [
            *command_of(QEMU, preload=LOCKSTEP), *arguments.FIRMWARE, *machine,
            *arguments.mailbox_arguments(memory_fd),
            *arguments.control_arguments(theirs.fileno(), console.absolute()),
        ]  # fmt: skip
        if state is not None:
            state_fd = os.open(state, os.O_RDONLY)
            resources.callback(os.close, state_fd)
            fds.append(state_fd)
            command += arguments.restore_arguments()
        # QEMU's threads take turns, and switching between them is faster on one CPU than across two.
        process = await _spawn(tethered(command, os.getpid(), processor), fds, console, emulator.path)
        qmp = QMPClient("lab")
        try:
            theirs.close()
            await _connect(qmp, ours, process, console)
            found = Machine(process, qmp, mailbox, console)
            _check_lockstep(process.pid, emulator)
            await found.ignore_shared_memory()
            if state is not None:
                await found.restore(state_fd)
            yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
            with contextlib.suppress(Exception):
                await qmp.disconnect()
            ours.close()


async def _connect(qmp: QMPClient, ours: socket.socket, process: asyncio.subprocess.Process, console: Path) -> None:
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await qmp.connect(ours)
    except TimeoutError:
        raise EngineError(f"QEMU does not start: it said nothing for {ANSWER_LIMIT_S:g} s") from None
    except (QMPError, OSError, EOFError) as exc:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await process.wait()
        raise EngineError(f"QEMU does not start: {console_tail(_errors_of(console)) or exc}") from exc


def _errors_of(console: Path) -> Path:
    return console.with_suffix(".qemu")


async def _spawn(command: list[str], fds: list[int], console: Path, folder: Path) -> asyncio.subprocess.Process:
    with open(_errors_of(console), "wb") as errors:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=fds,
            env=_environment(),
            # In its own session, QEMU gets no SIGINT when the user presses Ctrl-C: lab itself ends its machines.
            start_new_session=True,
        )


def _environment() -> dict[str, str]:
    """Return the environment of QEMU, which must load no other libraries than those of the emulator."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "QEMU_"))}


def _check_lockstep(pid: int, emulator: Emulator) -> None:
    # If the dynamic loader cannot preload the library, it only prints a warning and runs QEMU without it.
    library = f"{emulator.digest}/{LOCKSTEP}"
    if library not in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace"):
        raise EngineError(
            f"QEMU runs without the library {emulator.path / LOCKSTEP}; without it, trials would not be reproducible"
        )
