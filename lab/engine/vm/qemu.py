# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line: pure functions.  What each odd option is for, and nothing about running it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.engine.image.build import Image
from lab.errors import EngineError
from lab.job.mailbox import MAILBOX_BYTES

BINARY = "qemu-system-x86_64"
RAM_MIB = 768
OLDEST_VERSION = (7, 2)

# fmt: off
KERNEL_ARGUMENTS = (
    "console=ttyS0", "quiet", "panic=-1", "unknown_nmi_panic",
    # The agent maps the mailbox through /dev/mem.
    "iomem=relaxed",
    # The guest's clock is the count of executed instructions; trust it, and take no randomness from elsewhere.
    "tsc=reliable", "clocksource=tsc", "nokaslr", "norandmaps", "random.trust_cpu=off",
    # Every instruction costs virtual time, and the guest runs nothing but the trial.
    "mitigations=off", "init_on_alloc=0", "randomize_kstack_offset=off", "preempt=none", "nowatchdog", "audit=0",
    "apparmor=0", "selinux=0", "cgroup_disable=memory,pressure", "psi=0", "hardened_usercopy=off", "vdso=1",
)
CPU = "max,-rdrand,-rdseed,-smap,-erms,-fsrm,-la57"
# fmt: on


@dataclass(frozen=True)
class Qemu:
    binary: str
    version: str


def find_qemu() -> Qemu:
    """The QEMU of this machine.  Raises :class:`~lab.errors.EngineError` when there is none that will do."""
    binary = shutil.which(BINARY)
    if binary is None:
        raise EngineError(f"{BINARY} is not installed; it is in the package qemu-system-x86 (make setup installs it)")
    done = subprocess.run(
        [binary, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    first = done.stdout.partition("\n")[0]
    found = re.match(r"QEMU emulator version ((\d+)\.(\d+)\S*.*)", first)
    if found is None:
        raise EngineError(f"{binary} --version printed {first!r}")
    if (int(found[2]), int(found[3])) < OLDEST_VERSION:
        raise EngineError(f"{binary} is version {found[1]}; {OLDEST_VERSION[0]}.{OLDEST_VERSION[1]} or later is needed")
    return Qemu(binary=binary, version=found[1])


def machine_arguments(image: Image, ram: Path, *, share_ram: bool) -> list[str]:
    """The machine itself, the same for the template and for every trial but for how RAM is mapped."""
    ram_mode = "on" if share_ram else "off"
    # fmt: off
    return [
        # Thread names tell lockstep.c which is which.
        "-name", "lab,debug-threads=on",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc,nvdimm=on,hpet=off,memory-backend=ram,usb=off,vmport=off,graphics=off",
        "-accel", "tcg,thread=single,tb-size=128",
        # One instruction is one nanosecond; an idle guest's clock jumps to its next timer.
        "-icount", "shift=0,sleep=off",
        "-rtc", "base=2026-01-01T00:00:00,clock=vm",
        "-smp", "1",
        "-cpu", CPU,
        "-m", f"{RAM_MIB}M,slots=2,maxmem=4G",
        # The template writes through to the file; trials share its pages, copy on write.
        "-object", f"memory-backend-file,id=ram,size={RAM_MIB}M,mem-path={_quoted(ram)},share={ram_mode}",
        *_root_arguments(image),
        # The guest stops the machine at an exact instruction by writing to this device's port.
        "-device", "pvpanic", "-action", "panic=pause",
    ]
    # fmt: on


def _root_arguments(image: Image) -> list[str]:
    """The root as persistent memory: reads are memory accesses, which finish at once."""
    size, path = image.root_file.stat().st_size, _quoted(image.root_file)
    # fmt: off
    return [
        "-object", f"memory-backend-file,id=root,size={size},mem-path={path},share=on,readonly=on",
        "-device", "nvdimm,memdev=root,unarmed=on",
    ]
    # fmt: on


def interactive_arguments(image: Image, initramfs: Path, option: str) -> list[str]:
    """A machine in real time for somebody at a terminal; ``option`` goes to the kernel's command line."""
    # fmt: off
    return [
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc,nvdimm=on,usb=off,vmport=off,graphics=off",
        "-accel", "tcg",
        "-smp", "1", "-cpu", CPU, "-m", f"{RAM_MIB}M,slots=2,maxmem=4G",
        *_root_arguments(image),
        # Ctrl-C is for what runs inside.
        "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
        "-kernel", str(image.kernel_file), "-initrd", str(initramfs),
        "-append", f"console=ttyS0 loglevel=2 panic=-1 mitigations=off {option}",
    ]
    # fmt: on


def mailbox_arguments(fd: int) -> list[str]:
    # fmt: off
    return [
        "-object", f"memory-backend-file,id=mailbox,size={MAILBOX_BYTES},mem-path=/proc/self/fd/{fd},share=on",
        "-device", "nvdimm,memdev=mailbox",
    ]
    # fmt: on


def control_arguments(qmp_fd: int, console: Path) -> list[str]:
    # fmt: off
    return [
        "-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control",
        "-chardev", f"file,id=console,path={_quoted(console)}", "-serial", "chardev:console",
    ]
    # fmt: on


def boot_arguments(image: Image, initramfs: Path) -> list[str]:
    return [
        # Stopped at first: a guest that is busy booting would leave QMP no time to greet.
        "-S",
        "-kernel", str(image.kernel_file),
        "-initrd", str(initramfs),
        "-append", " ".join(KERNEL_ARGUMENTS),
    ]  # fmt: skip


def restore_arguments() -> list[str]:
    """Wait for a saved state, which QMP names once it has been told what to expect."""
    return ["-incoming", "defer"]


def _quoted(path: Path) -> str:
    # QEMU's option parser splits at commas; a doubled one is a literal one.
    return str(path).replace(",", ",,")
