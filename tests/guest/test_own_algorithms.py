# SPDX-License-Identifier: Apache-2.0
"""Congestion controls of the user in a virtual machine: they run, are refused, or end the guest's kernel.

All trials of a kernel share a template.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.errors import LostVMError
from lab.experiment.read.load import load_text
from lab.job.protocol import ALGORITHM_LOG, Job, Record
from lab.plan.plan import make_plan
from lab.store.rows import Context, read_rows, rows_to_table

pytestmark = pytest.mark.vm

Engines = Callable[[str], VmEngine | UmlEngine]

BEGIN = """#include "lab_cc.h"
#undef tcp_cong_avoid_ai
static u32 ssthresh(struct sock *sk) { return max(tcp_sk(sk)->snd_cwnd / 2, 2); }
static u32 undo_cwnd(struct sock *sk) { return tcp_sk(sk)->snd_cwnd; }
"""
CONTROL = "static void cong_avoid(struct sock *sk, u32 ack, u32 acked)\n{\n%s\n}\n"
END = 'LAB_CC("my_cc", ssthresh, undo_cwnd, cong_avoid);\n'

RENO = (
    BEGIN + CONTROL % '\ttcp_reno_cong_avoid(sk, ack, acked);\n\tlab_trace(sk, "window", tcp_sk(sk)->snd_cwnd);' + END
)
READ_ONLY = BEGIN + CONTROL % "\ttcp_sk(sk)->snd_cwnd_clamp = 10;" + END
PANIC = BEGIN + CONTROL % "\ttcp_cong_avoid_ai(tcp_sk(sk), 0, acked);" + END
LARGE = (
    BEGIN
    + "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 32 << 20); __type(key, u32); "
    + '__type(value, u64); } large SEC(".maps");\n'
    + CONTROL % "\tu32 key = 0;\n\tbpf_map_lookup_elem(&large, &key);"
    + END
)
EXPERIMENT = b"""name: own
topology: {kind: dumbbell, bottleneck: {rate: 10mbit, delay: 5ms, queue: {discipline: bfifo, limit: 1bdp}}}
flows: {bulk: {from: s1, to: d1, cc: my_cc.bpf.c}}
duration: 2s
"""


def job_of(source: str, folder: Path, kernel: str) -> Job:
    (folder / "my_cc.bpf.c").write_text(source)
    loaded = load_text(folder / "e.yaml", EXPERIMENT, [f"kernel={kernel}"])
    return make_plan(loaded.checked).trials[0].job


def run(engines: Engines, source: str, folder: Path, kernel: str) -> tuple[Path, Record]:
    job = job_of(source, folder, kernel)
    engine = engines(kernel)
    directory = folder / "record"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    asyncio.run(engine.run(job, directory, 0, lambda _now_ns: None))
    record: Record = json.loads((directory / "record.json").read_bytes())
    return directory, record


KERNELS = ("debian-13", pytest.param("debian-12", marks=pytest.mark.nightly))


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_algorithm_runs_and_its_values_are_in_the_record(engines: Engines, tmp_path: Path, kernel: str) -> None:
    directory, record = run(engines, RENO, tmp_path, kernel)
    assert record["status"] == "ok", record
    assert record["flows"][0]["congestion_control"] == "my_cc"
    assert "my_cc" in record["available_congestion_control"]
    result: Any = record["collectors"]["cc_trace"]
    assert result["lost"] == 0
    table = rows_to_table(read_rows(directory, "cc_trace", result), Context.of(record))
    assert set(table.column("name").to_pylist()) == {"window"}
    assert "bulk" in table.column("flow").to_pylist()
    at_sender = np.array([end == "source" for end in table.column("end").to_pylist()])
    windows = table.column("value").to_numpy()[at_sender]
    # One value for each ACK, of a window that has grown beyond the initial one and stays near the path's capacity.
    assert len(windows) > 500
    assert 10 < windows.max() < 60
    again, _record = run(engines, RENO, tmp_path, kernel)
    assert read_rows(again, "cc_trace", result).tobytes() == read_rows(directory, "cc_trace", result).tobytes()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_refusal_leaves_a_record_with_the_verifiers_log(engines: Engines, tmp_path: Path, kernel: str) -> None:
    directory, record = run(engines, READ_ONLY, tmp_path, kernel)
    assert record["status"] == "failed"
    assert record["error"].startswith("the kernel refused the algorithm my_cc: ")
    assert "no write support to tcp_sock" in (directory / ALGORITHM_LOG).read_text()


def test_large_maps_are_refused_before_the_guest_is_out_of_memory(engines: Engines, tmp_path: Path) -> None:
    _directory, record = run(engines, LARGE, tmp_path, "debian-13")
    assert "its maps and global variables have" in record["error"]


def test_a_panic_names_the_function_and_leaves_no_machine(engines: Engines, tmp_path: Path) -> None:
    with pytest.raises(LostVMError, match=r"Oops: divide error.* \| .*bpf_prog_\w+_lab_cong_avoid.* \| .*Kernel panic"):
        run(engines, PANIC, tmp_path, "debian-13")
    _directory, record = run(engines, RENO, tmp_path, "debian-13")
    assert record["status"] == "ok"
