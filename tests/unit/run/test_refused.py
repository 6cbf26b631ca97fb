# SPDX-License-Identifier: Apache-2.0
"""What is said of an algorithm that a kernel refused, whatever the guest has written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lab.errors import AlgorithmRefusedError
from lab.job.protocol import ALGORITHM_LOG, Job
from lab.run.refused import refusal
from tests.jobs import job_with

SOURCE = '#include "lab_cc.h"\nstatic void f(struct sock *sk)\n{\n\ttcp_sk(sk)->snd_cwnd_clamp = 10;\n}\n'
ERROR = "the kernel refused the algorithm my_cc: Permission denied"
LOG = """; tcp_sk(sk)->snd_cwnd_clamp = 10;
12: (63) *(u32 *)(r1 +2216) = r2
no write support to tcp_sock at off 2216
processed 3 insns
"""


def job() -> Job:
    made = job_with(["s1", "d1"], [("s1", "d1")])
    digest = hashlib.sha256(SOURCE.encode()).hexdigest()
    made["algorithms"] = [{"name": "my_cc", "source_sha256": digest, "object": ""}]
    return made


def said(folder: Path, error: str = ERROR, log: bytes | None = LOG.encode()) -> AlgorithmRefusedError | None:
    (folder / "record").mkdir(exist_ok=True)
    if log is not None:
        (folder / "record" / ALGORITHM_LOG).write_bytes(log)
    return refusal(error, folder / "record", job(), folder / "inputs")


@pytest.mark.parametrize("name", ["my_cc.bpf.c", "outside-0123456789abcdef-my_cc.bpf.c", "labs/my_cc.bpf.c"])
def test_the_line_of_the_source_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "inputs" / name
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE)
    found = said(tmp_path)
    assert found is not None
    assert found.exit_code == 2
    assert found.log == tmp_path / "record" / ALGORITHM_LOG
    assert found.reason.startswith("the kernel refused the algorithm my_cc: my_cc.bpf.c:4: ")


def test_another_source_of_the_run_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "my_cc.bpf.c").write_text("\n" + SOURCE)
    found = said(tmp_path)
    assert found is not None
    assert "my_cc.bpf.c" not in found.reason


def test_other_failures_are_not_of_the_algorithm(tmp_path: Path) -> None:
    assert said(tmp_path, ERROR, None) is None
    assert said(tmp_path, "the topology could not be built") is None


def test_what_the_guest_writes_is_one_line_of_plain_text(tmp_path: Path) -> None:
    found = said(
        tmp_path, ERROR, b"\xff\x00\x1b[31m: bad\x07 no write support to tcp_sock at off 1\nprocessed 1\n" * 9999
    )
    assert found is not None
    assert found.reason.isprintable()


def test_of_a_module_only_the_kernels_words_are_told(tmp_path: Path) -> None:
    (tmp_path / "record").mkdir()
    (tmp_path / "record" / ALGORITHM_LOG).write_text("lab_module_my_cc: not\x1b today\n")
    made = job()
    made["algorithms"][0]["form"] = "module"
    error = "the kernel refused the algorithm my_cc: its module cannot be loaded: (the kernel says: not\x1b today)"
    found = refusal(error, tmp_path / "record", made, tmp_path / "inputs")
    assert found is not None
    assert found.reason == error.replace("\x1b", "�")
