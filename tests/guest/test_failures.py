# SPDX-License-Identifier: Apache-2.0
"""Check that a machine that fails during a trial causes one clear error, and that the guest's console is kept."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lab.engine import sources
from lab.engine.vm import machine
from lab.engine.vm.engine import VmEngine
from lab.engine.vm.machine import Machine
from lab.engine.vm.template import build_template
from lab.engine.watch import Limits
from lab.errors import EngineError, LostVMError, TrialTimeoutError
from lab.job import kernels
from lab.job.protocol import PROTOCOL_FORMAT, Job
from lab.store import places
from tests.conftest import job_of, record_in

pytestmark = pytest.mark.vm

Sabotage = Callable[[Machine], Awaitable[object]]


async def panic(guest: Machine) -> None:
    # The guest's kernel is configured to panic on an NMI of unknown origin.
    await guest.command("inject-nmi")


async def kill(guest: Machine) -> None:
    os.kill(guest.process.pid, signal.SIGKILL)


async def stop(guest: Machine) -> None:
    await guest.command("stop")


async def run_with(engine: VmEngine, directory: Path, sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a trial and sabotage its machine as soon as the traffic runs."""
    machines: list[Machine] = []
    original = machine.Machine.run_until_stop

    async def remembered(self: Machine) -> None:
        machines.append(self)
        await original(self)

    monkeypatch.setattr(machine.Machine, "run_until_stop", remembered)
    done = asyncio.Event()

    def on_time(now_ns: int) -> None:
        if now_ns > 0:
            done.set()

    trial = asyncio.create_task(engine.run(job_of("duration=600s", kernel=kernels.DEFAULT), directory, 0, on_time))
    await asyncio.wait_for(done.wait(), 60)
    await sabotage(machines[0])
    await asyncio.wait_for(trial, 60)


def with_limits(engine: VmEngine, limits: Limits) -> VmEngine:
    """Return another engine with the same image and template, which exist because ``engine`` has been prepared."""
    limited = VmEngine(limits=limits)
    limited.locate(print)
    asyncio.run(limited.prepare(print))
    return limited


def test_a_kernel_panic(engine: VmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "record"
    directory.mkdir()
    with pytest.raises(LostVMError, match="Kernel panic") as caught:
        asyncio.run(run_with(engine, directory, panic, monkeypatch))
    assert caught.value.log is not None
    assert "Kernel panic" in caught.value.log.read_text(errors="replace")


def test_a_killed_qemu(engine: VmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "record"
    directory.mkdir()
    with pytest.raises(LostVMError, match=r"exit status -9"):
        asyncio.run(run_with(engine, directory, kill, monkeypatch))


@pytest.mark.nightly
def test_a_guest_that_stands_still(engine: VmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = with_limits(engine, Limits(stall_s=12.0))
    directory = tmp_path / "record"
    directory.mkdir()
    with pytest.raises(
        TrialTimeoutError, match=r"no virtual time has passed for 12 s \(the time since the start of traffic stays at"
    ):
        asyncio.run(run_with(limited, directory, stop, monkeypatch))


def test_a_trial_that_takes_too_long(engine: VmEngine, tmp_path: Path) -> None:
    limited = with_limits(engine, Limits(least_wall_s=2.0, wall_per_virtual_s=0.0))
    directory = tmp_path / "record"
    directory.mkdir()
    with pytest.raises(TrialTimeoutError, match="did not end within 2 s"):
        asyncio.run(limited.run(job_of("duration=600s", kernel=kernels.DEFAULT), directory, 0, lambda _now: None))


def failed(run_job: Callable[[Job], Path], job: Job) -> str:
    """Run *job*, check that its record has the status ``failed`` and that the log agrees, and return the error."""
    directory = run_job(job)
    record = record_in(directory)
    assert record["status"] == "failed"
    assert "Traceback" not in record["error"]
    assert record["error"].splitlines()[0] in (directory / "log.txt").read_text()
    return str(record["error"])


def test_an_iperf3_that_fails(run_job: Callable[[Job], Path]) -> None:
    # An iperf3 server runs only one test at the same time and rejects the second client.
    job = job_of("duration=2s")
    (flow,) = job["flows"]
    job["flows"].append({**flow, "name": "second", "start_ns": flow["start_ns"] + 500_000_000})
    assert ": the iperf3 client failed: the server is busy running a test" in failed(run_job, job)


def test_an_iperf3_server_that_does_not_start(run_job: Callable[[Job], Path]) -> None:
    job = job_of("duration=1s")
    job["flows"][0]["port"] = 70_000
    assert "flow bulk: the iperf3 server does not listen on its port; it printed: " in failed(run_job, job)


def test_an_agent_that_hangs(run_job: Callable[[Job], Path]) -> None:
    # The agent waits for a flow that starts after the limit.  The 180 virtual seconds until then take little real time,
    # because nothing happens in them.
    job = job_of("duration=1s", "collect={}")
    (flow,) = job["flows"]
    job["flows"].append({**flow, "name": "late", "port": flow["port"] + 1, "start_ns": 1_000_000_000_000})
    assert "still running 180 s of virtual time after the planned end of traffic" in failed(run_job, job)


def test_a_job_of_another_version(run_job: Callable[[Job], Path]) -> None:
    job = job_of("duration=1s")
    job["format"] = 99
    assert failed(run_job, job) == f"the job has format 99; this agent expects format {PROTOCOL_FORMAT}"


def test_a_tc_that_refuses(run_job: Callable[[Job], Path]) -> None:
    job = job_of("duration=1s")
    (bottleneck,) = (link for link in job["links"] if link["name"] == "bottleneck")
    bottleneck["ab"]["queue"] = {
        "discipline": "nosuch", "limit_bytes": None, "limit_packets": 10, "parameters": {},
    }  # fmt: skip
    error = failed(run_job, job)
    assert error.startswith("tc -batch -: exit status")
    assert "nosuch" in error


@pytest.mark.nightly
def test_an_agent_that_does_not_get_ready(engine: VmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sources.bpf_files()
    broken = {name: b"#error no such thing\n" if name.endswith(".bpf.c") else text for name, text in original.items()}
    monkeypatch.setattr(sources, "bpf_files", lambda: broken)
    monkeypatch.setattr(places, "templates", lambda: tmp_path)
    with pytest.raises(EngineError, match=r"the agent is not ready: .*(?s:.*)\(log: "):
        asyncio.run(asyncio.wait_for(build_template(*engine.machine(), lambda _what: None), 60))
    assert list(tmp_path.iterdir()) == []
