# SPDX-License-Identifier: Apache-2.0
"""Check that QEMU's command line has the options that make trials reproducible, and none that would prevent it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lab.engine.emulator.build import Emulator
from lab.engine.image.build import Image
from lab.engine.vm import qemu, template
from lab.job.mailbox import MAILBOX_BYTES

ROOT_BYTES = 4096
EMULATOR = Emulator(digest="0" * 64, path=Path("/emulator"), version="10.0", built="", recipe="")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "root.erofs").write_bytes(bytes(ROOT_BYTES))
    return Image(digest="d" * 64, path=folder, suite="trixie", kernel="6.12", built="now", recipe="r")


def options(arguments: list[str], name: str) -> list[str]:
    """Return all values that are given to the option ``name``."""
    return [value for option, value in pairwise(arguments) if option == name]


def test_the_clock_is_the_count_of_instructions(image: Image) -> None:
    arguments = qemu.machine_arguments(image, Path("/ram"), share_ram=False)
    assert options(arguments, "-icount") == ["shift=0,sleep=off"]
    assert options(arguments, "-smp") == ["1"]
    assert options(arguments, "-rtc") == ["base=2026-01-01T00:00:00,clock=vm"]
    (accelerator,) = options(arguments, "-accel")
    assert accelerator.startswith("tcg,thread=single")
    (cpu,) = options(arguments, "-cpu")
    assert {"-rdrand", "-rdseed"} <= set(cpu.split(","))


def test_there_is_no_device_whose_completions_depend_on_the_host(image: Image) -> None:
    arguments = qemu.machine_arguments(image, Path("/ram"), share_ram=False)
    assert "-nodefaults" in arguments
    assert {device.partition(",")[0] for device in options(arguments, "-device")} == {"nvdimm", "pvpanic"}
    for unwanted in ("-drive", "-netdev", "-nic", "-hda", "-cdrom", "-enable-kvm"):
        assert unwanted not in arguments


def test_ram_is_written_through_for_the_template_and_copied_on_write_for_trials(image: Image) -> None:
    shared = qemu.machine_arguments(image, Path("/ram"), share_ram=True)
    private = qemu.machine_arguments(image, Path("/ram"), share_ram=False)
    different = [(one, other) for one, other in zip(shared, private, strict=True) if one != other]
    size = f"{qemu.RAM_MIB}M"
    assert different == [
        (
            f"memory-backend-file,id=ram,size={size},mem-path=/ram,share=on",
            f"memory-backend-file,id=ram,size={size},mem-path=/ram,share=off",
        )
    ]


def test_the_root_cannot_be_written(image: Image) -> None:
    (root,) = (
        one
        for one in options(qemu.machine_arguments(image, Path("/ram"), share_ram=False), "-object")
        if "id=root" in one
    )
    assert "readonly=on" in root
    assert f"size={ROOT_BYTES}," in root


def test_a_comma_in_a_path_is_no_end_of_an_option(image: Image) -> None:
    arguments = qemu.machine_arguments(image, Path("/a,b/ram"), share_ram=False)
    assert any("mem-path=/a,,b/ram," in value for value in options(arguments, "-object"))
    assert any("path=/c,,d" in value for value in qemu.control_arguments(5, Path("/c,d")))


def test_files_reach_qemu_by_descriptor() -> None:
    assert qemu.control_arguments(7, Path("/log"))[:4] == [
        "-chardev",
        "socket,id=qmp,fd=7",
        "-mon",
        "chardev=qmp,mode=control",
    ]
    (memory,) = options(qemu.mailbox_arguments(9), "-object")
    assert memory == f"memory-backend-file,id=mailbox,size={MAILBOX_BYTES},mem-path=/proc/self/fd/9,share=on"


def test_the_kernel_takes_no_randomness_and_no_time_from_elsewhere(image: Image) -> None:
    arguments = qemu.boot_arguments(image, Path("/initramfs"))
    assert options(arguments, "-kernel") == [str(image.path / "vmlinuz")]
    (line,) = options(arguments, "-append")
    assert {"nokaslr", "random.trust_cpu=off", "clocksource=tsc", "tsc=reliable"} <= set(line.split())
    assert {"panic=-1", "unknown_nmi_panic", "console=ttyS0"} <= set(line.split())
    assert qemu.restore_arguments() == ["-incoming", "defer"]


@pytest.mark.parametrize("name", ["elsewhere", 'Grüße, "quoted"'])
def test_identity_is_of_what_matters_and_not_of_where_it_lies(image: Image, tmp_path: Path, name: str) -> None:
    before = template.identity(EMULATOR, image)
    other = template.identity(EMULATOR, replace(image, digest="1" * 64))
    moved = replace(image, path=image.path.rename(tmp_path / name))
    assert template.identity(replace(EMULATOR, path=tmp_path), moved) == before
    assert template.identity(replace(EMULATOR, digest="1" * 64), moved) != before
    assert other != before
    assert set(before) == {"bundle_digest", "agent_digest", "bpf_digest", "machine_digest"}


def test_a_changed_kernel_line_is_another_machine(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    before = template.identity(EMULATOR, image)
    monkeypatch.setattr(qemu, "KERNEL_ARGUMENTS", (*qemu.KERNEL_ARGUMENTS, "nosmap"))
    after = template.identity(EMULATOR, image)
    assert {name for name in before if before[name] != after[name]} == {"machine_digest"}
    assert template.key_of(before) != template.key_of(after)
