# SPDX-License-Identifier: Apache-2.0
"""Build QEMU's command line, with the reason for each unusual option.

The module does not run QEMU; that is the task of :mod:`lab.engine.vm.machine`.
"""

from __future__ import annotations

from pathlib import Path

from lab.engine.image.build import Image
from lab.job.machines import MEMORY_MIB
from lab.job.mailbox import MAILBOX_BYTES

RAM_MIB = MEMORY_MIB["vm"]

# fmt: off
KERNEL_ARGUMENTS = (
    "console=ttyS0", "quiet", "panic=-1", "unknown_nmi_panic",
    # The agent maps the mailbox through /dev/mem.
    "iomem=relaxed",
    # The guest's clock counts executed instructions.  The kernel must trust this clock and must take randomness from no
    # other source.
    "tsc=reliable", "clocksource=tsc", "nokaslr", "norandmaps", "random.trust_cpu=off",
    # Every instruction takes virtual time, and the guest runs nothing but the trial, so protections that cost
    # instructions are switched off.
    "mitigations=off", "init_on_alloc=0", "randomize_kstack_offset=off", "preempt=none", "nowatchdog", "audit=0",
    "lsm=", "cgroup_disable=memory,pressure", "psi=0", "hardened_usercopy=off", "vdso=1",
    # Each iperf3 has a session of its own, which the scheduler would make a group of its own.
    "noautogroup",
)
# Without AVX, a switch between processes saves fewer registers, and all versions of QEMU offer the same features.
CPU = "max,-rdrand,-rdseed,-smap,-erms,-fsrm,-la57,-avx,-avx2,-fma,-f16c"
# fmt: on

FIRMWARE = ("-L", ".")
"""The options that let QEMU find its firmware in the folder in which it is started, that of the emulator."""


def machine_arguments(image: Image, ram: Path, *, share_ram: bool) -> list[str]:
    """Return the options of the machine itself, which are the same for the template and for all trials.

    The only difference is ``share_ram``: the template writes its RAM to the file, and trials map the file
    copy-on-write.
    """
    ram_mode = "on" if share_ram else "off"
    # fmt: off
    return [
        # With this option, QEMU names its threads, and lockstep.c recognises them by their names.
        "-name", "lab,debug-threads=on",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc,nvdimm=on,hpet=off,memory-backend=ram,usb=off,vmport=off,graphics=off",
        "-accel", "tcg,thread=single,tb-size=128",
        # Each instruction advances the virtual clock by 1 ns.  When the guest is idle, the clock jumps to the next
        # timer.
        "-icount", "shift=0,sleep=off",
        "-rtc", "base=2026-01-01T00:00:00,clock=vm",
        "-smp", "1",
        "-cpu", CPU,
        "-m", f"{RAM_MIB}M,slots=2,maxmem=4G",
        # The template's RAM is written to the file.  Trials share the pages of the file, copy-on-write.
        "-object", f"memory-backend-file,id=ram,size={RAM_MIB}M,mem-path={_quoted(ram)},share={ram_mode}",
        *_root_arguments(image),
        # The guest stops the machine, right after a certain instruction, by writing to the port of this device.
        "-device", "pvpanic", "-action", "panic=pause",
    ]
    # fmt: on


def _root_arguments(image: Image) -> list[str]:
    """Return the options that give the guest its root file system as persistent memory.

    A read is then a memory access, which completes at once.
    """
    size, path = image.root_file.stat().st_size, _quoted(image.root_file)
    # fmt: off
    return [
        "-object", f"memory-backend-file,id=root,size={size},mem-path={path},share=on,readonly=on",
        "-device", "nvdimm,memdev=root,unarmed=on",
    ]
    # fmt: on


def interactive_arguments(image: Image, initramfs: Path, option: str) -> list[str]:
    """Return the options of a machine that runs in real time, for a user at a terminal.

    ``option`` is added to the kernel's command line.
    """
    # fmt: off
    return [
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc,nvdimm=on,usb=off,vmport=off,graphics=off",
        "-accel", "tcg",
        "-smp", "1", "-cpu", CPU, "-m", f"{RAM_MIB}M,slots=2,maxmem=4G",
        *_root_arguments(image),
        # Ctrl-C must reach the programs in the guest instead of ending QEMU.
        "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
        "-kernel", str(image.kernel_file), "-initrd", str(initramfs),
        "-append", f"console=ttyS0 loglevel=2 panic=-1 mitigations=off {option}",
    ]
    # fmt: on


def mailbox_arguments(fd: int) -> list[str]:
    """Return the options that give the guest the mailbox, a file in memory with the descriptor *fd*."""
    # fmt: off
    return [
        "-object", f"memory-backend-file,id=mailbox,size={MAILBOX_BYTES},mem-path=/proc/self/fd/{fd},share=on",
        "-device", "nvdimm,memdev=mailbox",
    ]
    # fmt: on


def control_arguments(qmp_fd: int, console: Path) -> list[str]:
    """Return the options for QMP, over the socket *qmp_fd*, and for the serial console, which is written to a file."""
    # fmt: off
    return [
        "-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control",
        "-chardev", f"file,id=console,path={_quoted(console)}", "-serial", "chardev:console",
    ]
    # fmt: on


def boot_arguments(image: Image, initramfs: Path) -> list[str]:
    """Return the options of a machine that boots the image's kernel."""
    return [
        # The machine starts in the stopped state: a guest that is busy booting would give QMP no time to send its
        # greeting.
        "-S",
        "-kernel", str(image.kernel_file),
        "-initrd", str(initramfs),
        "-append", " ".join(KERNEL_ARGUMENTS),
    ]  # fmt: skip


def restore_arguments() -> list[str]:
    """Return the options of a machine that waits for a saved state, which is specified later over QMP."""
    return ["-incoming", "defer"]


def _quoted(path: Path) -> str:
    # QEMU's option parser splits arguments at commas; two commas stand for a literal one.
    return str(path).replace(",", ",,")
