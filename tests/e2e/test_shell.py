# SPDX-License-Identifier: Apache-2.0
"""Test ``lab shell`` in a terminal."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from lab.engine.vm.engine import VmEngine
from tests.conftest import SHIPPED, lab_command
from tests.mistakes import STARTERS

pytestmark = pytest.mark.vm


class Terminal:
    """A pseudo-terminal in which ``lab shell`` runs."""

    def __init__(self, *arguments: str) -> None:
        self._own, theirs = pty.openpty()
        command = [str(lab_command()), "shell", *arguments]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""

    def wait_for(self, text: str, limit_s: float = 120) -> str:
        """Wait until *text* is shown, and return the output before it; the next call continues after *text*."""
        deadline = time.monotonic() + limit_s
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self._own], [], [], 1)[0]:
                try:
                    self.shown += os.read(self._own, 65536).decode(errors="replace")
                except OSError:  # The other end has been closed.
                    assert text in self.shown, self.shown
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, line: str) -> None:
        os.write(self._own, line.encode() + b"\n")


def test_a_look_around(engine: VmEngine, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(SHIPPED.read_text())
    (reno,) = (path for path in STARTERS if path.name == "reno.bpf.c")
    shutil.copy(reno, tmp_path / "my_cc.bpf.c")
    own = ("--set", "matrix.flows.bulk.cc=[cubic, ./my_cc.bpf.c]")
    terminal = Terminal(str(file), *own, "--trial", "my_reno-loss-0pct-r1")
    greeting = terminal.wait_for("mininet>")
    assert "routers:  r1 r2" in greeting
    assert "your own congestion control is registered: my_reno" in greeting
    assert "s1 iperf3 -c d1 -p 5201 -C my_reno" in greeting
    terminal.type("s1 iperf3 -c d1 -p 5201 -C my_reno -t 1 --json | grep congestion")
    assert '"sender_tcp_congestion":\t"my_reno"' in terminal.wait_for("mininet>")
    terminal.type("s1 ping -c 2 -i 0.2 d1")
    assert "2 received, 0% packet loss" in terminal.wait_for("mininet>")
    terminal.type("r1 tc qdisc show dev r1-eth1")
    assert "tbf 1: root refcnt 2 rate 20Mbit" in terminal.wait_for("mininet>")
    # Ctrl-C must end the program in the guest, not the machine.
    terminal.type("s1 ping d1")
    terminal.wait_for("icmp_seq=1")
    time.sleep(1)
    os.write(terminal._own, b"\x03")
    assert "packets transmitted" in terminal.wait_for("mininet>")
    terminal.type("exit")
    assert terminal.process.wait(60) == 0


def test_a_trial_that_there_is_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(lab_command()), "shell", str(SHIPPED), "--trial", "99"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--trial: found '99'; expected 1 to 18, or one of cubic-loss-0pct-r1" in done.stderr
