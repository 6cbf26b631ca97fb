# SPDX-License-Identifier: Apache-2.0
"""Test interruptions, kills, full disks and broken tools.

Each must cause one clear message and leave nothing half-finished, and trials that are done must be kept.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from lab.engine.image.build import recipe_digest
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from tests.conftest import SHIPPED, lab_command, write_bootstrap, write_program
from tests.e2e.test_cli import SHORT, SHORT_VM, Lab, is_running, run_folder
from tests.emulators import write_emulator_in

DEADLINE_S = 60.0


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the ``lab`` command, and kill it at the end of the block if it is still running."""
    process = subprocess.Popen(
        [str(lab_command()), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return the first line of the process's messages that contains *text*."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return line
    pytest.fail(f"no {text!r} in: {''.join(seen)}")


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s: {what}"
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    return not is_running(pid)


@pytest.mark.vm
def test_the_same_command_goes_on_where_it_was_interrupted(uml: UmlEngine, lab: Lab, tmp_path: Path) -> None:
    three = ("--set", "matrix.flows.bulk.cc=[cubic, bbr, reno]", "--set", "seed=77")
    command = ["run", *SHORT, *three, "--jobs", "1", "-o", str(tmp_path)]
    with started(*command) as process:
        read_until(process, "done in")
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        said = read_until(process, "trials are finished and kept")
        assert time.monotonic() - began < 5
        output, _errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "interrupted; 1 of 3 trials are finished and kept; the same command continues with the others" in said
    assert output == ""
    first = run_folder(tmp_path)
    assert (first / "report" / "index.html").exists()
    assert json.loads((first / "provenance.json").read_text())["status"] == "interrupted"
    assert [path.name for path in (first / "trials").iterdir()] == ["cubic-loss-0.1pct-r1"]

    done = lab(*command)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("from the cache (") == 1
    assert done.stderr.count(": done in") == 2
    kept, again = (
        json.loads((run / "trials/cubic-loss-0.1pct-r1/trial.json").read_text())
        for run in (first, run_folder(tmp_path))
    )
    assert kept["record_digest"] == again["record_digest"]


@pytest.mark.vm
@pytest.mark.nightly
def test_two_runs_of_the_same_at_the_same_time(uml: UmlEngine, tmp_path: Path) -> None:
    command = ["run", *SHORT, "--set", "seed=78", "--set", "duration=2s", "-o", str(tmp_path)]
    with started(*command) as first, started(*command) as second:
        ends = [process.communicate(timeout=DEADLINE_S) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], ends
    folders = {Path(output.splitlines()[-1]) for output, _ in ends}
    assert len(folders) == 2
    assert len({json.loads((folder / "provenance.json").read_text())["results_digest"] for folder in folders}) == 1


@pytest.mark.vm
def test_a_terminal_shows_how_far_every_trial_is(uml: UmlEngine, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = ["run", *SHORT, "--set", "seed=79", "-o", str(tmp_path)]
    with subprocess.Popen([str(lab_command()), *command], stderr=theirs, stdout=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        shown = b""
        # Reading from a terminal fails when no process has its other end open any more.
        try:
            while part := os.read(ours, 1 << 16):
                shown += part
        except OSError:
            pass
        assert process.stdout is not None
        assert Path(process.stdout.read().splitlines()[-1]) == run_folder(tmp_path)
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 0, text
    assert "2 running" in text or "1 running" in text
    assert "of 5" in text
    assert "virtual s" in text
    assert "Traceback" not in text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the results of only a few trials."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system requires root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1600k", "lab-test", str(place)], check=True, timeout=10)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=10)


@pytest.mark.vm
def test_a_full_disk(uml: UmlEngine, lab: Lab, small_disk: Path) -> None:
    longer = ("--set", "duration=3s", "--set", "repeat=9", "--set", "seed=80")
    done = lab("run", *SHORT, *longer, "--jobs", "1", "-o", str(small_disk))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("lab: ")
    assert "No space left on device" in last
    # Finished trials are complete, and nothing else looks like a trial.
    trials = list((run_folder(small_disk) / "trials").glob("[!.]*"))
    assert 1 <= len(trials) < 18
    for trial in trials:
        assert json.loads((trial / "trial.json").read_text())["status"] == "ok"
        assert (trial / "tcp_probe.parquet").read_bytes()[-4:] == b"PAR1"
    assert not list(small_disk.rglob(".tmp-*"))


@pytest.mark.parametrize("place", ["a file", "a file/below", "/proc/nosuch"])
@pytest.mark.vm
def test_results_that_can_go_nowhere(uml: UmlEngine, lab: Lab, tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    done = lab("run", *SHORT, "-o", str(tmp_path / place))
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("lab: cannot write ")
    assert "Traceback" not in done.stderr


@pytest.mark.vm
def test_a_qemu_that_does_not_start(lab: Lab, lab_cache: Path, engine: VmEngine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    write_emulator_in(cache, qemu="echo 'no such machine'; exit 1")
    (cache / "images").symlink_to(lab_cache / "images")
    recipe = recipe_digest()
    shutil.copyfile(lab_cache / "recipes" / recipe, cache / "recipes" / recipe)
    done = lab("run", *SHORT_VM, "-o", str(tmp_path / "r"), LAB_CACHE=str(cache))
    assert done.returncode == 3
    assert "QEMU does not start: no such machine" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.vm
def test_a_cache_that_cannot_be_written(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = lab("bundle", "build", LAB_CACHE=str(tmp_path / "file" / "cache"))
    assert done.returncode == 3
    assert "set LAB_CACHE to another folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away(lab: Lab) -> None:
    with started("schema") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(DEADLINE_S) == 0


@pytest.fixture
def builder(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty cache and a bootstrap that needs no network."""
    program = write_bootstrap(tmp_path)
    write_emulator_in(tmp_path / "cache")
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "LAB_CACHE": str(tmp_path / "cache")}


def builds_afterwards(lab: Lab, builder: dict[str, str], tmp_path: Path) -> None:
    """Check that there is no image, and that building one works and removes all leftovers."""
    assert lab("bundle", "list", **builder).stdout == ""
    write_bootstrap(tmp_path)
    done = lab("bundle", "build", **builder)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1
    assert lab("bundle", "list", **builder).stdout.startswith(f"* {done.stdout[:16]}")


@pytest.mark.vm
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_bundle_build_that_is_stopped(
    lab: Lab, builder: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pids = tmp_path / "pids"
    write_program(
        tmp_path / "bin" / "mmdebstrap",
        # The first process of the real mmdebstrap ignores signals, too; its child processes do the work.
        f"trap '' HUP INT TERM\n(trap - TERM; exec sleep 600) & echo $! >{pids}.new; echo $$ >>{pids}.new\n"
        f"mv {pids}.new {pids}; wait",
    )
    with started("bundle", "build", **builder) as process:
        wait_for(pids.exists, DEADLINE_S, "the builder has not started")
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == code
    assert "Traceback" not in errors
    for pid in map(int, pids.read_text().split()):
        wait_for(partial(has_ended, pid), 5, f"{pid} still runs")
    builds_afterwards(lab, builder, tmp_path)


@pytest.mark.vm
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's mmdebstrap mounts file systems outside a user namespace")
def test_a_killed_bundle_build_leaves_nothing_mounted(lab: Lab, builder: dict[str, str], tmp_path: Path) -> None:
    temporary, pids = tmp_path / "temporary", tmp_path / "pids"
    temporary.mkdir()
    write_program(
        tmp_path / "bin" / "mmdebstrap",
        f"mkdir $TMPDIR/root; mount -t tmpfs lab-test $TMPDIR/root; echo $$ $PPID >{pids}.new; mv {pids}.new {pids}\n"
        "exec sleep 600",
    )
    with started("bundle", "build", **builder, TMPDIR=str(temporary)) as process:
        wait_for(pids.exists, DEADLINE_S, "the builder has not started")
        running = list(map(int, pids.read_text().split()))
        for pid in (process.pid, *running):
            os.kill(pid, signal.SIGKILL)
    for pid in running:
        wait_for(partial(has_ended, pid), 5, f"{pid} still runs")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert [path.name[:9] for path in sorted(temporary.iterdir())] == ["lab-hooks", "lab-root-"]
    builds_afterwards(lab, {**builder, "TMPDIR": str(temporary)}, tmp_path)
    assert not list(temporary.iterdir())


@pytest.mark.vm
def test_a_bundle_build_that_is_killed_near_its_end(lab: Lab, builder: dict[str, str], tmp_path: Path) -> None:
    write_bootstrap(tmp_path, mkfs="kill -9 $PPID")
    assert lab("bundle", "build", **builder).returncode == -9
    assert list((tmp_path / "cache" / "images").glob(".tmp-*"))
    builds_afterwards(lab, builder, tmp_path)


@pytest.mark.vm
def test_a_builder_that_hangs_up_its_process_group(lab: Lab, builder: dict[str, str], tmp_path: Path) -> None:
    # The real mmdebstrap does this when it cannot write its archive.
    write_program(
        tmp_path / "bin" / "mmdebstrap", "trap '' HUP; echo 'E: No space left on device'; kill -HUP 0; exit 1"
    )
    done = lab("run", str(SHIPPED), "-o", str(tmp_path / "results"), **builder)
    assert done.returncode == 3
    assert "mmdebstrap failed (exit status 1); E: No space left on device" in done.stderr
    assert not (tmp_path / "results").exists()
    builds_afterwards(lab, builder, tmp_path)
