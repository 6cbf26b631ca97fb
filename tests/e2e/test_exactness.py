# SPDX-License-Identifier: Apache-2.0
"""The same experiment gives the same bytes, whatever goes on on the machine."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import pytest

from benchmarks.conditions import conditions, replay
from lab.engine.vm.engine import VmEngine
from tests.e2e.test_cli import wait_until_gone

BY_DAY = ("as it is", "stopped and continued all the time")
"""The conditions that are tried every time; `make nightly` tries all of them a hundred times, in both engines."""


@pytest.mark.vm
def test_all_conditions_give_the_same_records_in_virtual_machines(
    engine: VmEngine, pytestconfig: pytest.Config
) -> None:
    assert engine is not None
    found = dict(islice(conditions(), 5))
    names = found if pytestconfig.getoption("nightly") else BY_DAY
    assert len(found) == 5
    digests = {name: replay("vm", found[name], ["bbr"]) for name in names}
    assert len(set(digests.values())) == 1, digests


def test_a_killed_comparison_leaves_no_busy_process() -> None:
    begin = (
        "import os, pathlib, sys, time\n"
        "from benchmarks.disturbances import busy\n"
        "with busy(0):\n"
        "    print(pathlib.Path(f'/proc/self/task/{os.getpid()}/children').read_text(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", begin], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        loops = list(map(int, process.stdout.readline().split()))
        process.kill()
    assert len(loops) == 4
    wait_until_gone(loops, 10)
