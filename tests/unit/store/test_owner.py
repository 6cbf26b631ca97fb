# SPDX-License-Identifier: Apache-2.0
"""What a process can tell of the owners of what it finds: its own kind, the dead, and those of other machines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.store.owner import Judgement, judge, own_name

NAME = "from lab.store.owner import own_name; print(own_name(), flush=True); input()"


def other() -> subprocess.Popen[str]:
    """Start a process that prints its name as an owner and then waits."""
    return subprocess.Popen(
        [sys.executable, "-c", NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    )


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_running_owner_and_one_that_was_killed() -> None:
    process = other()
    name = name_of(process)
    assert judge(own_name()) is Judgement.RUNS
    assert judge(f"{name}-more") is Judgement.RUNS
    process.kill()
    # Its parent has not asked for its status: it is a zombie, and /proc still has its folder.
    deadline = time.monotonic() + 10
    while ") Z " not in Path(f"/proc/{process.pid}/stat").read_text():
        assert time.monotonic() < deadline
    assert judge(name) is Judgement.ENDED
    process.communicate()
    assert not Path(f"/proc/{process.pid}").exists()
    assert judge(name) is Judgement.ENDED


def test_an_id_that_another_process_has_now() -> None:
    process, start, place = own_name().split("-")
    assert judge(f"{process}-{int(start) - 1}-{place}") is Judgement.ENDED


@pytest.mark.parametrize("name", ["", "x", "999999999", "1-x", f"0-1-{'f' * 16}", "1-2-abc", "1-draft"])
def test_what_is_no_name_of_an_owner(name: str) -> None:
    assert judge(name) is Judgement.NONE


def test_the_name_that_an_earlier_version_gave_tells_nothing() -> None:
    assert judge(f"{os.getpid()}-{'a' * 12}") is Judgement.UNKNOWN
    assert judge(f"999999999-{'a' * 12}") is Judgement.UNKNOWN


def test_another_boot_or_machine_cannot_be_judged() -> None:
    process, start, _place = own_name().split("-")
    assert judge(f"{process}-{start}-{'f' * 16}") is Judgement.UNKNOWN
    assert judge(f"{process}-{start}-{'0' * 16}") is Judgement.UNKNOWN


def test_a_forked_process_is_an_owner_of_its_own() -> None:
    own = own_name()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, own_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 200).decode().split("-")[0] == str(child)
    assert own_name() == own
    os.close(reading)
    os.close(writing)


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
def test_another_pid_namespace_cannot_be_judged_from_either_side() -> None:
    script = (
        "import sys; from lab.store.owner import judge, own_name; "
        "print(own_name(), judge(sys.argv[1]).value, judge(own_name()).value)"
    )
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script, own_name()]
    inside, mine, own = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert inside.startswith("1-")
    assert (mine, own) == ("unknown", "runs")
    assert judge(inside) is Judgement.UNKNOWN
    # With the /proc of another namespace, a process can tell nothing.
    command.remove("--mount-proc")
    _name, mine, own = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert (mine, own) == ("unknown", "unknown")
