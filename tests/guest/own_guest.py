# SPDX-License-Identifier: Apache-2.0
"""Run a test script in a guest in place of the agent, with the same kernel and packages but without a template."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

from lab.engine import sources
from lab.engine.image import cpio
from lab.engine.uml import arguments
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm import machine, qemu
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from lab.job.folder import SharedFolder
from lab.job.mailbox import State

PACKAGE = Path(__file__).parents[2] / "lab"
AGENT = b"lab.agent.guest.uml"
"""The module that the first process of User-mode Linux runs, unless a test replaces it."""
LIMIT_S = 900


def run_script(
    engine: VmEngine | UmlEngine, script: Path, directory: Path, asked: Any = None, *, kernel: str = kernels.DEFAULT
) -> Any:
    """Boot a guest, call ``main(asked)`` of *script* there, and return its result; both values are passed as JSON.

    *kernel* counts for virtual machines only.
    """
    if isinstance(engine, UmlEngine):
        return _run_in_uml(engine, script, directory, asked)
    return asyncio.run(asyncio.wait_for(_run_in_vm(engine, script, directory, asked, kernel), LIMIT_S))


def _archive(script: Path) -> bytes:
    files = {f"lab/{name}": content for name, content in {**sources.agent_files(), **sources.bpf_files()}.items()}
    live = [*(PACKAGE / "live").glob("*.py")]
    live += [PACKAGE / name for name in ("errors.py", "words.py", "engine/__init__.py", "engine/native/__init__.py")]
    live += [PACKAGE / "engine" / "native" / "isolation.py", PACKAGE / "store" / "__init__.py"]
    live += [PACKAGE / "store" / name for name in ("files.py", "owner.py")]
    files |= {f"lab/lab/{path.relative_to(PACKAGE)}": path.read_bytes() for path in live}
    files["lab/lab/agent/script.py"] = script.read_bytes()
    files["lab/lab/agent/guest/__main__.py"] = (Path(__file__).parent / "scripts" / "entry.py").read_bytes()
    return cpio.archive(files)


async def _run_in_vm(engine: VmEngine, script: Path, directory: Path, asked: Any, kernel: str) -> Any:
    found, image = engine.machine(kernel)
    initramfs, ram, console = (directory / name for name in ("initramfs", "ram.img", "console.log"))
    initramfs.write_bytes(image.boot_archive.read_bytes() + _archive(script))
    with open(ram, "wb") as file:
        file.truncate(qemu.RAM_MIB << 20)
    arguments = [*qemu.machine_arguments(image, ram, share_ram=True), *qemu.boot_arguments(image, initramfs)]
    async with machine.start(found, arguments, json.dumps(asked).encode(), console, processor=None) as guest:
        await guest.run_until_stop()
        result = bytes(guest.mailbox.record).decode(errors="replace")
        assert guest.mailbox.state is State.DONE, result or console.read_text(errors="replace")
        return json.loads(result)


def _run_in_uml(engine: UmlEngine, script: Path, directory: Path, asked: Any) -> Any:
    kernel, image = engine.parts()
    arguments.put_files(directory, image)
    init = arguments.init_script()
    assert init.count(AGENT) == 1
    first = cpio.archive({"uml-init": init.replace(AGENT, b"lab.agent.guest")}, executable=frozenset({"uml-init"}))
    with open(directory / arguments.INITRAMFS, "ab") as file:
        file.write(_archive(script) + first)
    shared, console = SharedFolder(directory), directory / "console.log"
    shared.initialise(json.dumps(asked).encode())
    with open(console, "wb") as output:
        subprocess.run(
            [kernel.program, *arguments.ARGUMENTS],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    result = shared.record_file.read_text(errors="replace") if shared.record_file.exists() else ""
    assert shared.state is State.DONE, result or console.read_text(errors="replace")
    return json.loads(result)
