# SPDX-License-Identifier: Apache-2.0
"""Test the native engine on this host's kernel, with links that have a rate but no delay.

The tests also check what the engine reports as missing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.engine.native import isolation
from tests.conftest import lab_command

pytestmark = pytest.mark.live

EXPERIMENT = """\
name: native
topology:
  kind: dumbbell
  bottleneck: {rate: 20mbit, delay: 0ms, queue: {discipline: pfifo, limit: 50p}}
flows:
  bulk: {from: s1, to: d1}
duration: 2s
matrix:
  flows.bulk.cc: [cubic]
repeat: 2
collect:
  states:
report: {defaults: false}
"""

Lab = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "native.yaml"
    path.write_text(EXPERIMENT)
    return path


def links() -> list[str]:
    shown = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout
    return [link["ifname"] for link in json.loads(shown)]


def marked() -> list[Path]:
    """Return the processes of native trials, as folders in /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{isolation.MARK}=".encode() in (folder / "environ").read_bytes():
                found.append(folder)
        except OSError:
            continue
    return found


def name_of(process: Path) -> str:
    """Return the name of a process, or nothing if the process has ended since it was listed."""
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""


def test_a_native_run_and_its_repetition(lab: Lab, experiment: Path, tmp_path: Path) -> None:
    before = links()
    # Other work on the machine may make a trial invalid.
    done = lab("run", str(experiment), "--engine", "native", "--allow-invalid", "-o", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    run = Path(done.stdout.strip())
    assert (links(), marked()) == (before, [])
    provenance: dict[str, Any] = json.loads((run / "provenance.json").read_text())
    assert provenance["engine"] == "native"
    assert provenance["kernel"] == os.uname().release
    assert provenance["jobs"] == 1
    assert not any(trial["cached"] for trial in provenance["trials"].values())
    trials = sorted(path.name for path in (run / "trials").iterdir())
    assert trials == ["cubic-r1", "cubic-r2"]
    for name in trials:
        record = json.loads((run / "trials" / name / "trial.json").read_text())["record"]
        assert (record["engine"], record["status"]) == ("native", "ok")
        assert record["pressure"]["load_before"] >= 0
        checks = json.loads((run / "trials" / name / "validity.json").read_text())["checks"]
        assert "quiet-machine" in {check["id"] for check in checks}
    page = (run / "report" / "index.html").read_text()
    assert "native: real time on the machine" in page
    again = lab("verify", str(run))
    assert "cannot be reproduced byte by byte" in again.stderr
    # Goodput is compared.  Whether it agrees depends on what else the machine does.
    assert again.stdout.splitlines()[-1] in ("1/1 agree", "0/1 agree")
    assert again.returncode == (0 if "1/1" in again.stdout else 1)
    # In real time, a second run is another sample and must not come from the cache.
    more = lab("run", str(experiment), "--engine", "native", "--set", "repeat=1", "-o", str(tmp_path / "results"))
    assert "from the cache" not in more.stderr


def test_a_killed_lab_leaves_nothing(experiment: Path, tmp_path: Path) -> None:
    before = links()
    command = [str(lab_command()), "run", str(experiment), "--engine", "native", "--set", "duration=60s"]
    command += ["-o", str(tmp_path / "results")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not any("iperf3" in name_of(path) for path in marked()):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
        finally:
            # Also when the wait failed: the lock of a lab that goes on would make every later test fail.
            process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while left := [name_of(path) for path in marked()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert links() == before


def test_what_the_kernel_lacks_is_named(lab: Lab, experiment: Path, tmp_path: Path) -> None:
    done = lab(
        "run", str(experiment), "--engine", "native", "--set", "matrix.flows.bulk.cc=[cubic, nosuch]",
        "-o", str(tmp_path / "results"),
    )  # fmt: skip
    assert done.returncode == 3
    assert "this machine lacks what the experiment needs:\n  congestion control nosuch: the kernel does" in done.stderr
    assert "Traceback" not in done.stderr


def test_kernels_cannot_be_chosen(lab: Lab, experiment: Path) -> None:
    done = lab("run", str(experiment), "--engine", "native", "--set", "kernel=debian-12")
    assert done.returncode == 2
    assert "kernel: found 'debian-12' with engine: native; expected no kernel" in done.stderr
    other = lab("run", str(experiment), "--engine", "fast")
    assert other.returncode == 2
    assert "engine: found 'fast'; expected 'vm', 'uml' or 'native'" in other.stderr


def test_two_labs_do_not_run_natively_at_a_time(lab: Lab, experiment: Path, tmp_path: Path) -> None:
    lock = isolation.only_one()
    try:
        done = lab("run", str(experiment), "--engine", "native", "-o", str(tmp_path / "results"))
    finally:
        lock.close()
    assert done.returncode == 3
    assert "another lab runs native trials on this machine" in done.stderr


def test_the_doctor_says_what_there_is(lab: Lab) -> None:
    done = lab("doctor")
    sections = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert sections == ["machine:", "Debian packages:", "virtual machines:", "User-mode Linux:", "native engine:"]
    assert "  ok  command: ip, tc, bridge, ping, iperf3, mnexec" in done.stdout
    assert "Traceback" not in done.stderr


def test_there_is_nothing_to_clean(lab: Lab) -> None:
    assert lab("clean").stderr.strip() == "there is nothing to clean up"
