# SPDX-License-Identifier: Apache-2.0
"""Standard output and error that are closed or full: a message and an exit code, and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(sys.executable).with_name("lab")
GOOD = Path(__file__).parents[3] / "experiments" / "cubic_vs_bbr.yaml"
FULL = "cannot write to standard output: No space left on device"
CLOSED = "standard output is closed"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = command.replace("LAB", str(LAB)).replace("GOOD", str(GOOD))
    return subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", **environment}
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("LAB check GOOD >/dev/full", 3, FULL),
        ("LAB --help >/dev/full", 3, FULL),
        ("LAB check GOOD >&-", 2, CLOSED),
        ("LAB check GOOD >&- 2>/dev/full", 2, ""),
        ("LAB check GOOD >&- 2>&- <&-", 2, ""),
        ("LAB check nosuch.yaml 2>/dev/full", 2, ""),
        ("LAB check nosuch.yaml 2>&-", 2, ""),
        ("LAB check GOOD >/dev/full 2>/dev/full", 3, ""),
    ],
)
def test_a_stream_that_cannot_be_written(command: str, code: int, said: str) -> None:
    done = shell(command)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == bool(said)


def test_characters_that_the_encoding_does_not_have() -> None:
    done = shell("LAB check GOOD", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2194" in done.stdout


def test_lab_alone_prints_help() -> None:
    for command, line in (
        ("LAB", "Usage: lab [OPTIONS] COMMAND"),
        ("LAB bundle", "Usage: lab bundle [OPTIONS] COMMAND"),
    ):
        done = shell(command)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(line)
    assert shell("LAB nosuch").returncode == 2
