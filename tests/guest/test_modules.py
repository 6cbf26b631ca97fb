# SPDX-License-Identifier: Apache-2.0
"""Congestion controls that are kernel modules: compiled against the guest's headers, loaded, refused, and panicking."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cc import module
from lab.cc.cache import ObjectCache
from lab.cc.compiler import CompileError
from lab.cc.module import ModuleSource, ModuleTools
from lab.engine.vm.engine import VmEngine
from lab.errors import LostVMError
from lab.experiment.read.load import load_text
from lab.job.protocol import Job, Record
from lab.plan.plan import make_plan
from lab.run.modules import with_modules
from lab.store.stored_job import check_job

pytestmark = [pytest.mark.vm, pytest.mark.nightly]

SOURCE = (Path(__file__).parent / "modules" / "tcp_mine.c").read_text()
EXPERIMENT = b"""name: own
topology: {kind: dumbbell, bottleneck: {rate: 10mbit, delay: 20ms, queue: {discipline: bfifo, limit: 1bdp}}}
flows: {bulk: {from: s1, to: d1, cc: {name: mine, module: tcp_mine.c}}}
duration: 10s
engine: vm
"""


def job_of(engine: VmEngine, folder: Path, source: str, *overrides: str) -> Job:
    (folder / "tcp_mine.c").write_text(source)
    plan = make_plan(load_text(folder / "e.yaml", EXPERIMENT, list(overrides)).checked)
    return with_modules(plan, engine, print).trials[0].job


def run(engine: VmEngine, folder: Path, job: Job) -> Record:
    directory = folder / "record"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    asyncio.run(engine.run(job, directory, 0, lambda _now_ns: None))
    record: Record = json.loads((directory / "record.json").read_bytes())
    return record


def sent(record: Record) -> int:
    assert record["status"] == "ok", record
    (flow,) = record["flows"]
    return flow["accounts"]["sides"]["sent"]["all"]["bytes"]


@pytest.mark.parametrize("kernel", ["debian-12", "debian-13", "debian-13-backports"])
def test_a_copy_of_reno_sends_what_reno_sends(engines: Callable[[str], VmEngine], tmp_path: Path, kernel: str) -> None:
    engine, on = engines(kernel), f"kernel={kernel}"
    job = job_of(engine, tmp_path, SOURCE, on)
    (own,) = job["algorithms"]
    assert own["form"] == "module"
    check_job(json.loads(json.dumps(job)), "the plan", ())
    record = run(engine, tmp_path, job)
    assert record["flows"][0]["congestion_control"] == "mine"
    reno = run(engine, tmp_path, job_of(engine, tmp_path, SOURCE, on, "flows.bulk.cc=reno"))
    assert sent(record) == pytest.approx(sent(reno), rel=0.03)


def test_the_same_source_gives_the_same_bytes(
    engine: VmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectCache, "get", lambda _self, _key: None)
    compiled: list[ModuleSource] = []
    real = module._compiled

    def counted(source: ModuleSource, tools: ModuleTools) -> bytes:
        compiled.append(source)
        return real(source, tools)

    monkeypatch.setattr(module, "_compiled", counted)
    objects = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        objects.append(job_of(engine, tmp_path / name, SOURCE)["algorithms"][0]["object"])
    assert objects[0] == objects[1]
    assert [one.folder for one in compiled] == [f"{tmp_path}/first/", f"{tmp_path}/second/"]


INIT = "static int __init mine_register(void)"
MISTAKES = [
    (SOURCE.replace("tcp_slow_start(tp, acked);", "tcp_slow_start(tp, acked)"), "error: expected ';' before 'if'"),
    (SOURCE.replace("<net/tcp.h>", '<net/tcp.h>\n#include "/etc/passwd"'), "/etc/passwd"),
    (SOURCE.replace("#include <net/tcp.h>", '#include <net/tcp.h>\nasm(".incbin \\"/etc/shadow\\"");'), "/etc/shadow"),
    (SOURCE.replace(INIT, f"int nowhere(void);\n{INIT}").replace("return tcp_r", "nowhere();return tcp_r"),
     "has no function or variable nowhere for modules"),
    (SOURCE.replace('MODULE_LICENSE("GPL")', 'MODULE_LICENSE("Proprietary")'), "only modules with MODULE_LICENSE"),
    (SOURCE + "\nchar large[1 << 30] = {1};\n", "expected smaller arrays"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "message"), MISTAKES)
def test_what_does_not_compile(engine: VmEngine, tmp_path: Path, source: str, message: str) -> None:
    assert source != SOURCE
    with pytest.raises(CompileError) as caught:
        job_of(engine, tmp_path, source)
    assert str(caught.value).startswith("found the kernel module mine for debian-13: ")
    assert message in str(caught.value)
    assert "root:" not in str(caught.value)


def test_a_module_that_registers_another_name(engine: VmEngine, tmp_path: Path) -> None:
    record = run(engine, tmp_path, job_of(engine, tmp_path, SOURCE.replace('= "mine"', '= "other"')))
    assert record["status"] == "failed"
    expected = 'the kernel refused the algorithm mine: its module registers no congestion control with .name = "mine"'
    assert record["error"] == expected


def test_a_module_whose_init_fails(engine: VmEngine, tmp_path: Path) -> None:
    failing = SOURCE.replace("return tcp_register", 'pr_err("not today\\n"); return -EBUSY; return tcp_register')
    record = run(engine, tmp_path, job_of(engine, tmp_path, failing))
    assert "its module cannot be loaded" in record["error"]
    assert "not today" in record["error"]


def test_a_panic_is_one_failed_trial(engine: VmEngine, tmp_path: Path) -> None:
    panicking = SOURCE.replace("return max(tcp_snd_cwnd(tcp_sk(sk)) >> 1U, 2U);", "*(volatile int *)8 = 1; return 2;")
    with pytest.raises(LostVMError, match=r"mine_ssthresh.*Kernel panic"):
        run(engine, tmp_path, job_of(engine, tmp_path, panicking))
    assert sent(run(engine, tmp_path, job_of(engine, tmp_path, SOURCE))) > 0
