# SPDX-License-Identifier: Apache-2.0
"""The command line of an instance of User-mode Linux, with the reason for each unusual option, and its files.

The kernel mixes its command line into its random numbers.  The command line is therefore the same for all instances:
it contains no path, and all files are in the current folder.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from lab.engine import sources
from lab.engine.image import cpio
from lab.engine.image.build import Image
from lab.engine.selftest import self_test_job
from lab.job.machines import MEMORY_MIB

INITRAMFS, ROOT = "initramfs", "root.erofs"

# fmt: off
ARGUMENTS = (
    f"mem={MEMORY_MIB['uml']}M",
    f"initrd={INITRAMFS}", f"ubd0r={ROOT}", "rdinit=/uml-init", "hostfs=.",
    # Computing takes no virtual time.  When all processes wait, the clock jumps to the next timer.
    "time-travel=inf-cpu",
    "time-travel-start=1767225600000000000",  # 2026-01-01, as in the virtual machine, in ns
    # System calls of the guest's processes are caught with seccomp, which is faster than with ptrace.
    "seccomp=on",
    "rng-seed=1", "norandmaps",
    "con=null", "con0=null,fd:1", "quiet",
)
# fmt: on


def initramfs(image: Image) -> bytes:
    """Return the initramfs: that of the image, the agent, the self-test's job, and the first process."""
    self_test = json.dumps(self_test_job()).encode()
    first = cpio.archive({"uml-init": init_script()}, executable=frozenset({"uml-init"}))
    return image.boot_archive.read_bytes() + sources.archive({"selftest.json": self_test}) + first


def init_script() -> bytes:
    """Return the script that is the first process of an instance."""
    return resources.files("lab.engine.uml").joinpath("init.sh").read_bytes()


def put_files(folder: Path, image: Image) -> None:
    """Write the files that the command line names to *folder*."""
    (folder / INITRAMFS).write_bytes(initramfs(image))
    (folder / ROOT).symlink_to(image.root_file)
