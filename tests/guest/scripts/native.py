# SPDX-License-Identifier: Apache-2.0
"""Test script for the guest: do what the native engine does, on a kernel that has everything that trials may need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.engine.native import isolation
from lab.job.protocol import Job
from lab.store.owner import own_name

CUBIC = Path("/sys/module/tcp_cubic/parameters/hystart")


def main(asked: dict[str, Job]) -> dict[str, Any]:
    return {
        "capabilities": json.loads(started("lab.agent.capabilities").communicate()[0]),
        "trial": whole_trial(asked["job"]),
        "killed": killed_trial(asked["job"]),
        "parameters": parameters(asked["tuned"]),
    }


def started(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, isolation.MARK: own_name()}
    command = isolation.isolated([sys.executable, "-m", module, *arguments])
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def left() -> dict[str, Any]:
    """Return everything that a trial could leave behind: processes, namespaces, links and pinned BPF programs."""
    mark = f"{isolation.MARK}=".encode()
    environments = [_environment(path) for path in Path("/proc").glob("[0-9]*")]
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    return {
        "processes": sum(mark in text for text in environments),
        "namespaces": len({_namespace(path) for path in Path("/proc").glob("[0-9]*")} - {""}),
        "links": [link["ifname"] for link in links],
        "pins": sorted(path.name for path in Path("/sys/fs/bpf").iterdir()),
    }


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns" / "net")
    except OSError:
        return ""  # The process has ended.


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def written(job: Job) -> str:
    path = Path("/run/native.json")
    path.write_text(json.dumps(job), encoding="utf-8")
    return str(path)


def whole_trial(job: Job) -> dict[str, Any]:
    before = left()
    process = started("lab.agent", written(job), "/run/record")
    printed = process.communicate()[0]
    record = json.loads(Path("/run/record/record.json").read_text())
    return {
        "before": before,
        "after": settled(before),
        "status": process.returncode,
        "progress": [int(line) for line in printed.split()],
        "record": record,
        "iperf3": json.loads(Path("/run/record", record["flows"][0]["server_json"]).read_text()),
    }


def killed_trial(job: Job) -> dict[str, Any]:
    """Run a trial and kill it with SIGKILL during its traffic.

    The killed process is the one that the kernel kills when a ``lab`` process is killed.
    """
    before = left()
    process = started("lab.agent", written(job), "/run/killed")
    assert process.stdout is not None
    process.stdout.readline()  # The first line is printed when the traffic has begun.
    during = left()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return {"before": before, "during": during, "after": settled(before)}


def settled(before: dict[str, Any]) -> dict[str, Any]:
    """Return what is left after a moment, because the kernel removes namespaces in the background."""
    for _ in range(50):
        if (now := left()) == before:
            break
        time.sleep(0.1)
    return now


def parameters(job: Job) -> dict[str, Any]:
    """Simulate a ``lab`` process that is killed after it has changed a parameter, and let the next one restore it."""
    before = CUBIC.read_text().strip()

    def change() -> None:
        isolation.note_parameters([job])
        CUBIC.write_text("0")
        os.kill(os.getpid(), signal.SIGKILL)

    own = in_child(change)
    changed, found = CUBIC.read_text().strip(), isolation.leftovers()
    isolation.clean()
    return {
        "before": before,
        "changed": changed,
        "found": found.parameters,
        "after": CUBIC.read_text().strip(),
        "notes": [path.name for path in isolation.STATE.glob("parameters-*")],
        "status": own,
    }


def in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]
