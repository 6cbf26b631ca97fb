# SPDX-License-Identifier: Apache-2.0
"""The BPF programs as this machine's clang and kernel see them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.agent.collectors.registry import ALWAYS, COLLECTORS, RECORDERS
from lab.engine.native.interpreter import PYTHON_PATH, find_interpreter
from lab.job.bpf_sources import BPF_SOURCES

pytestmark = pytest.mark.live

COMPILE = """
import sys
from pathlib import Path
from lab.agent.collectors.bcc_loader import PRIVATE_TYPES, compile_programs
from lab.agent.collectors.btf import KernelTypes

print(compile_programs(Path(sys.argv[1]), sys.argv[2:], KernelTypes(PRIVATE_TYPES)).warnings)
"""


def warnings(sources: Path, *programs: str) -> str:
    """Return what the compiler warns of."""
    done = subprocess.run(
        [find_interpreter({"bcc": "python3-bpfcc"}), "-c", COMPILE, str(sources), *programs],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


IN_EVERY_TRIAL = tuple(dict.fromkeys(file for name in ALWAYS for file in (*RECORDERS[name].follows, name)))


@pytest.mark.parametrize(
    "programs",
    [("interrupted", *COLLECTORS), ("links",), ("interrupted", *IN_EVERY_TRIAL)],
    ids=["collectors", "links", "in every trial"],
)
def test_the_compiler_warns_of_nothing(programs: tuple[str, ...]) -> None:
    assert warnings(BPF_SOURCES, *programs) == ""


def test_a_warning_is_seen(tmp_path: Path) -> None:
    shutil.copytree(BPF_SOURCES, tmp_path / "bpf")
    source = tmp_path / "bpf" / "destroy.bpf.c"
    source.write_text(source.read_text() + "\nstatic int nobody_calls_this(void) { return 1; }\n")
    assert "unused function 'nobody_calls_this'" in warnings(tmp_path / "bpf", "interrupted", "destroy")
