# SPDX-License-Identifier: Apache-2.0
"""What QEMU is started with, and that no wait for it is without an end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from lab.engine.emulator.build import LOADER, LOCKSTEP, Emulator, find_emulator
from lab.engine.uml import engine as uml
from lab.engine.uml.zygote import Child
from lab.engine.vm import machine
from lab.engine.vm.machine import Machine
from lab.errors import EngineError, LostVMError
from tests.emulators import use_emulators_of, write_emulator


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache whose path has characters that separate paths elsewhere."""
    root = tmp_path / "a cache: here"
    monkeypatch.setenv("LAB_CACHE", str(root))
    return root


@pytest.mark.vm
def test_qemu_loads_only_what_the_emulator_has(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    """All libraries of a running QEMU are those of the emulator, whatever the environment and the path are."""
    use_emulators_of(emulator.path.parents[1])
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib/x86_64-linux-gnu")
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/libz.so.1")
    found = find_emulator()
    assert found is not None
    assert found.path.is_relative_to(own_cache)

    async def maps() -> str:
        arguments = ["-M", "none", "-S", "-display", "none"]
        async with machine.start(found, arguments, b"{}", tmp_path / "console.log", processor=None) as running:
            return Path(f"/proc/{running.process.pid}/maps").read_text()

    files = {line.split(maxsplit=5)[5] for line in asyncio.run(maps()).splitlines() if len(line.split()) > 5}
    loaded = {path for path in files if ".so" in path}
    assert {Path(path).name for path in loaded} >= {LOADER, LOCKSTEP, "libc.so.6", "libglib-2.0.so.0"}
    assert {os.path.realpath(Path(path).parent) for path in loaded} == {os.path.realpath(found.path)}


def test_a_qemu_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ANSWER_LIMIT_S", 0.3)
    silent = write_emulator(qemu="exec sleep 60")

    async def start() -> None:
        async with machine.start(silent, [], b"{}", tmp_path / "console.log", processor=None):
            pass

    with pytest.raises(EngineError, match=r"QEMU does not start: it said nothing for 0\.3 s"):
        asyncio.run(asyncio.wait_for(start(), 10))


class Running:
    """A process that runs."""

    returncode = None

    async def wait(self) -> int:
        await asyncio.Event().wait()
        return 0


class Answering:
    """QMP of a machine that gives the same answers for ever, or none to what is not in *answers*."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    async def execute(self, name: str, _parameters: object = None) -> Any:
        if name not in self.answers:
            await asyncio.Event().wait()
        return self.answers[name]


def machine_with(tmp_path: Path, **answers: Any) -> Machine:
    named = {name.replace("_", "-"): answer for name, answer in answers.items()}
    return Machine(Running(), Answering(**named), None, tmp_path / "console.log")  # type: ignore[arg-type]


def test_waits_for_qemu_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ANSWER_LIMIT_S", 0.1)

    def message_of(work: Any) -> str:
        with pytest.raises(LostVMError) as caught:
            asyncio.run(asyncio.wait_for(work, 10))
        return caught.value.reason

    silent = machine_with(tmp_path)
    assert message_of(silent.status()) == "QEMU did not answer the command query-status within 0.1 s"
    stuck = machine_with(
        tmp_path, migrate_set_parameters={}, migrate_incoming={}, query_status={"status": "inmigrate"},
        migrate={}, query_migrate={"status": "active"},
    )  # fmt: skip
    assert message_of(stuck.restore(0)) == "QEMU did not restore the machine within 0.1 s"
    assert message_of(stuck.save(tmp_path / "state")) == "QEMU did not save the machine within 0.1 s"


def test_a_wait_for_a_fork_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml, "FORK_LIMIT_S", 0.1)

    class Silent:
        def fork(self, folder: Path, processor: int) -> Any:
            return Child(0, -1).ended  # a future that nobody completes

    engine = uml.UmlEngine(["uml-7.3"])
    engine._zygotes["uml-7.3"] = Silent()  # type: ignore[assignment]
    with pytest.raises(LostVMError, match=r"User-mode Linux did not fork within 0\.1 s"):
        asyncio.run(
            asyncio.wait_for(
                engine.run({"kernel": "uml-7.3"}, tmp_path / "record", 0, lambda _now: None),  # type: ignore[typeddict-item]
                10,
            )
        )


def test_the_console_of_an_oops_names_the_function_of_the_program(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_text(
        "booting\n"
        "[    9.1] Oops: divide error: 0000 [#1] PREEMPT SMP\n"
        "[    9.1] RIP: 0010:tcp_cong_avoid_ai+0x2e/0xb0\n"
        "[    9.1]  bpf_prog_0123456789abcdef_lab_cong_avoid+0x5f/0x6b\n"
        "[    9.1]  bpf__tcp_congestion_ops_cong_avoid+0x3d/0x68\n"
        "[    9.1] Kernel panic - not syncing: Fatal exception in interrupt\n"
        "[    9.1] ---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---\n"
    )
    assert machine.console_tail(console) == (
        "[    9.1] Oops: divide error: 0000 [#1] PREEMPT SMP | "
        "[    9.1]  bpf_prog_0123456789abcdef_lab_cong_avoid+0x5f/0x6b | "
        "[    9.1] Kernel panic - not syncing: Fatal exception in interrupt"
    )


def test_the_console_of_an_oops_names_the_function_of_the_module(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_text(
        "[    9.1] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI\n"
        "[    9.1] RIP: 0010:mine_ssthresh+0x5/0x20 [lab_module_mine]\n"
        "[    9.1]  ? __bpf_prog_exit_recur+0x2c/0x40\n"
        "[    9.1]  bpf_prog_0123456789abcdef_accounts+0x5f/0x6b\n"
        "[    9.1] Kernel panic - not syncing: Fatal exception in interrupt\n"
    )
    assert machine.console_tail(console) == (
        "[    9.1] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI | "
        "[    9.1] RIP: 0010:mine_ssthresh+0x5/0x20 [lab_module_mine] | "
        "[    9.1] Kernel panic - not syncing: Fatal exception in interrupt"
    )
