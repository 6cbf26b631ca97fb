# SPDX-License-Identifier: Apache-2.0
"""What another Python interpreter sees of this environment."""

from __future__ import annotations

import os
import subprocess
import sys

import lab.agent.collectors.registry
from lab.engine.native.interpreter import PYTHON_PATH


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with an interpreter that has nothing but the standard library and the path that lab gives it."""
    return subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd="/",
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_sees_this_package() -> None:
    done = run(
        "from lab.agent.collectors import registry; from lab.job.bpf_sources import BPF_SOURCES; "
        "print(registry.__file__, BPF_SOURCES)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == lab.agent.collectors.registry.__file__
    assert done.stdout.split()[1].endswith("/bpf")


def test_it_sees_none_of_the_libraries_installed_beside_it() -> None:
    assert "No module named 'numpy'" in run("import lab.agent.collectors.registry, numpy").stderr
