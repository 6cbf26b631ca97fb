# SPDX-License-Identifier: Apache-2.0
"""Processes for scenarios: whatever one does, it has a report, and the others go on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lab.grade.scenario import pool
from lab.grade.scenario.task import Report, Task, read_report


def task(folder: Path, name: str, **fields: Any) -> Task:
    output = folder / name
    output.mkdir()
    return Task(
        **{
            "name": name, "stage": str(folder), "experiment": "none.yaml", "overrides": [], "rubric": {}, "answers": {},
            "output": str(output), "processors": [], "wall_s": 60.0, "read_cache": True, "key": name, **fields,
        }
    )  # fmt: skip


def run(tasks: list[Task], places: int = 1) -> dict[str, Report]:
    found: dict[str, Report] = {}
    processors = sorted(os.sched_getaffinity(0))[:1]
    asyncio.run(pool.run_tasks(tasks, [processors] * places, lambda task, report: found.__setitem__(task.name, report)))
    return found


def test_an_experiment_that_is_none_is_refused_and_the_report_is_kept(tmp_path: Path) -> None:
    (report,) = run([task(tmp_path, "a")]).values()
    assert (report.status, report.key) == ("refused", "a")
    assert report.message.startswith("none.yaml: there is no such file")
    assert report.is_final
    assert read_report(tmp_path / "a") == report


def test_a_module_is_refused_unless_the_assignment_allows_it(tmp_path: Path) -> None:
    (tmp_path / "tcp_mine.c").write_text("int x;\n")
    (tmp_path / "a.yaml").write_text(
        "name: a\ntopology: {kind: dumbbell, bottleneck: {rate: 10mbit, delay: 25ms}}\n"
        "flows: {bulk: {from: s1, to: d1, cc: {name: mine, module: tcp_mine.c}}}\nengine: vm\nduration: 2s\n"
    )
    (report,) = run([task(tmp_path, "a", experiment="a.yaml")]).values()
    assert (report.status, report.is_final) == ("refused", True)
    assert report.message == (
        "found a congestion control that is a kernel module, which this assignment does not allow; expected a source "
        "in BPF, *.bpf.c"
    )


def behaving(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the process of a scenario run this code instead."""
    real = asyncio.create_subprocess_exec

    async def started(*command: str, **options: Any) -> Any:
        at = command.index("-m")
        return await real(*command[:at], "-c", code, *command[at + 2 :], **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("import os; os._exit(7)", "machine", "ended with the exit code 7"),
        ("import os; os.kill(os.getpid(), 11)", "machine", "ended by the signal SIGSEGV"),
        ("import os, time; os.fork(); time.sleep(1000)", "ended", "did not end within 0.5 s"),
        ("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)", "ended", "did not end within"),
        ("import sys; open(sys.argv[1] + '/../result.json', 'w').write('{'); raise SystemExit('so')", "machine", "so"),
    ],
)
def test_a_process_that_misbehaves_has_a_report_and_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: str, message: str
) -> None:
    behaving(monkeypatch, code)
    monkeypatch.setattr(pool, "_MORE_S", 1.0)
    monkeypatch.setattr(pool, "_END_S", 0.5)
    reports = run([task(tmp_path, "a", wall_s=0.5), task(tmp_path, "b", wall_s=0.5)], 2)
    assert reports.keys() == {"a", "b"}
    for report in reports.values():
        assert report.status == status
        assert message in report.message
        assert not report.is_final
    time.sleep(0.2)
    assert str(tmp_path) not in subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True).stdout


def test_cancelling_ends_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaving(monkeypatch, "import time; time.sleep(1000)")

    async def cancelled() -> None:
        running = asyncio.ensure_future(pool.run_tasks([task(tmp_path, "a")], [[0]], lambda *_: None))
        await asyncio.sleep(1.0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert str(tmp_path) not in subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True).stdout
    assert read_report(tmp_path / "a") is None


def test_the_module_is_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "lab.grade", "/nonexistent"], capture_output=True, text=True)
    assert done.returncode == 1
