# SPDX-License-Identifier: Apache-2.0
"""Run a virtual machine in real time, with its console on this terminal."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

from lab.engine import sources
from lab.engine.emulator.build import QEMU, Emulator, command_of
from lab.engine.image.build import Image
from lab.engine.vm import qemu
from lab.errors import EngineError
from lab.job.protocol import Job
from lab.store.folders import scratch_folder


def run_shell(emulator: Emulator, image: Image, job: Job, say: Callable[[str], None]) -> None:
    """Boot a machine that builds the job's topology and opens a shell; return when the user leaves the shell.

    *say* is called with messages about what killed shells have left behind.

    Raises:
        EngineError: QEMU fails.
    """
    size = shutil.get_terminal_size()
    with scratch_folder("shell", say) as scratch:
        initramfs = scratch / "initramfs"
        agent = sources.archive({"job.json": json.dumps(job).encode()})
        initramfs.write_bytes(image.boot_archive.read_bytes() + agent)
        arguments = qemu.interactive_arguments(image, initramfs, f"lab.shell={size.lines}x{size.columns}")
        done = subprocess.run([*command_of(QEMU), *qemu.FIRMWARE, *arguments], cwd=emulator.path, check=False)
    if done.returncode != 0:
        raise EngineError(f"QEMU failed (exit status {done.returncode})")
