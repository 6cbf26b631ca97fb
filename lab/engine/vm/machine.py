# SPDX-License-Identifier: Apache-2.0
"""One QEMU process, controlled over QMP.  It ends with its owner, however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import shlex
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from lab.engine.vm import lockstep
from lab.engine.vm import qemu as arguments
from lab.engine.vm.qemu import Qemu
from lab.errors import EngineError, LostVMError
from lab.job.mailbox import MAILBOX_BYTES, Mailbox

_STOPPED = "guest-panicked"
_CONSOLE_TAIL_LINES = 12


class Machine:
    """A running QEMU.  Make one with :func:`start`."""

    def __init__(self, process: asyncio.subprocess.Process, qmp: QMPClient, mailbox: Mailbox, console: Path) -> None:
        self.process = process
        self.mailbox = mailbox
        self.console = console
        self._qmp = qmp

    async def run_until_stop(self) -> None:
        """Let the guest run until it stops itself (``lab.agent.guest``).  Raises :class:`LostVMError`."""
        with self._qmp.listener(("GUEST_PANICKED",)) as events:
            if await self.status() != "running":
                await self.command("cont")
            stopped = asyncio.ensure_future(events.get())
            ended = asyncio.ensure_future(self.process.wait())
            try:
                await asyncio.wait((stopped, ended), return_when=asyncio.FIRST_COMPLETED)
                if not stopped.done():
                    raise self.lost()
            finally:
                stopped.cancel()
                ended.cancel()

    async def ignore_shared_memory(self) -> None:
        """RAM, root and mailbox are files that outlive the machine: they are not part of its saved state."""
        capability = {"capability": "x-ignore-shared", "state": True}
        await self.command("migrate-set-capabilities", {"capabilities": [capability]})

    async def restore(self, state_fd: int) -> None:
        # A restored machine announces itself to the network, by a timer of the host's clock: it has none, so must not.
        await self.command("migrate-set-parameters", {"announce-rounds": 0})
        await self.command("migrate-incoming", {"uri": f"fd:{state_fd}"})
        while (status := await self.status()) == "inmigrate":
            await asyncio.sleep(0.002)
        if status not in (_STOPPED, "paused", "postmigrate"):
            raise EngineError(f"the restored machine is {status}")

    async def save(self, path: Path) -> None:
        """Save the stopped machine's state, without its RAM, to ``path``."""
        await self.command("migrate", {"uri": f"exec:cat > {shlex.quote(str(path))}"})
        while (progress := await self.command("query-migrate")).get("status") != "completed":
            if progress.get("status") in ("failed", "cancelled"):
                raise EngineError(f"saving the machine failed: {progress.get('error-desc', progress)}")
            await asyncio.sleep(0.01)

    async def status(self) -> str:
        return str((await self.command("query-status"))["status"])

    async def command(self, name: str, parameters: dict[str, object] | None = None) -> Any:
        try:
            return await self._qmp.execute(name, parameters)
        except (QMPError, OSError, EOFError) as exc:
            if self.process.returncode is not None or not isinstance(exc, QMPError):
                raise self.lost() from exc
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 1)
                raise self.lost() from exc
            raise EngineError(f"QEMU refused {name}: {exc}") from exc

    def lost(self) -> LostVMError:
        """The error for a machine that is gone, with the end of what it printed."""
        status = self.process.returncode
        tail = console_tail(self.console)
        said = f"; the console ends with: {tail}" if tail else ""
        return LostVMError(
            f"the virtual machine ended before the trial did (exit status {status}){said}", log=self.console
        )


def console_tail(console: Path) -> str:
    try:
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in lines if line.strip()]
    panics = [line for line in lines if "Kernel panic" in line or "lab-init:" in line]
    return " | ".join(panics[:1] or lines[-_CONSOLE_TAIL_LINES:])


@asynccontextmanager
async def start(
    qemu: Qemu, machine: Sequence[str], job: bytes, console: Path, *, processor: int | None, state: Path | None = None
) -> AsyncIterator[Machine]:
    """A machine, booting or (with ``state``) restored and stopped; killed when the block ends.

    ``job`` goes into its mailbox.  ``processor`` is the host CPU it is pinned to.
    """
    with contextlib.ExitStack() as resources:
        # No name in any file system: nothing is left behind, whoever is killed.
        memory_fd = os.memfd_create("lab-mailbox")
        resources.callback(os.close, memory_fd)
        os.ftruncate(memory_fd, MAILBOX_BYTES)
        memory = mmap.mmap(memory_fd, MAILBOX_BYTES)
        mailbox = Mailbox(memory)
        mailbox.initialise(job)
        ours, theirs = socket.socketpair()
        resources.callback(theirs.close)
        fds = [memory_fd, theirs.fileno()]
        command = [
            *_wrapper(processor), qemu.binary, *machine,
            *arguments.mailbox_arguments(memory_fd),
            *arguments.control_arguments(theirs.fileno(), console),
        ]  # fmt: skip
        if state is not None:
            state_fd = os.open(state, os.O_RDONLY)
            resources.callback(os.close, state_fd)
            fds.append(state_fd)
            command += arguments.restore_arguments()
        process = await _spawn(command, fds, console)
        qmp = QMPClient("lab")
        try:
            theirs.close()
            try:
                await qmp.connect(ours)
            except (QMPError, OSError, EOFError) as exc:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 1)
                raise EngineError(f"QEMU does not start: {console_tail(_errors_of(console)) or exc}") from exc
            found = Machine(process, qmp, mailbox, console)
            _check_lockstep(process.pid)
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


def _errors_of(console: Path) -> Path:
    return console.with_suffix(".qemu")


async def _spawn(command: list[str], fds: list[int], console: Path) -> asyncio.subprocess.Process:
    with open(_errors_of(console), "wb") as errors:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=fds,
            env={**os.environ, "LD_PRELOAD": str(lockstep.library())},
            # Ctrl-C on the terminal is for us; we end our machines ourselves.
            start_new_session=True,
        )


def _check_lockstep(pid: int) -> None:
    # The dynamic linker goes on without a library that it cannot load, and says so in a line nobody reads.
    if lockstep.digest() not in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace"):
        raise EngineError(f"QEMU runs without {lockstep.library()}: its trials would not be exact")


def _wrapper(processor: int | None) -> list[str]:
    # The kernel kills QEMU when the process that started it is gone, by kill -9 too.
    wrapper = ["setpriv", "--pdeathsig", "KILL"]
    if processor is not None:
        # Hand-overs between QEMU's threads cost less on one CPU than across two.
        wrapper += ["taskset", "--cpu-list", str(processor)]
    return wrapper
