# SPDX-License-Identifier: Apache-2.0
"""Check that trials in User-mode Linux are exact, and what happens to the others when one of them goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.exactness import all_collectors, replays, settings
from lab.engine import sources
from lab.engine.uml.engine import UmlEngine
from lab.engine.watch import DEFAULT_LIMITS, Limits
from lab.errors import EngineError, LostVMError, TrialTimeoutError
from lab.job.protocol import Job
from lab.store import places
from lab.store.digest import record_digest
from lab.store.rows import read_rows, write_table
from tests.conftest import SHIPPED, job_of, lab_command, record_in

pytestmark = pytest.mark.vm

Edit = Callable[[str, bytes, bytes], None]
RunJob = Callable[[Job], Path]


BY_DAY = ("another environment and folder",)
"""Settings of a plain boot that are tried every time, besides zygotes; each of the others takes long."""


def test_every_condition_gives_the_same_record(lab_cache: Path, pytestconfig: pytest.Config) -> None:
    digests: Counter[str] = Counter()
    conditions: set[str] = set()
    boots, duration, times = settings(), "10s", 8
    if not pytestconfig.getoption("nightly"):
        boots, duration, times = {name: boots[name] for name in BY_DAY}, "1s", 2

    def said(condition: str, digest: str) -> None:
        digests[digest] += 1
        conditions.add(condition)

    replays(all_collectors("bbr", duration), times, said, boots)
    assert conditions >= boots.keys()
    assert digests.total() == len(boots) + times
    assert len(digests) == 1, digests


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Edit:
    """A function that changes a file of the agent: name, old text, new text."""

    def change(name: str, old: bytes, new: bytes) -> None:
        files = sources.agent_files()
        assert old in files[name]
        changed = {**files, name: files[name].replace(old, new)}
        monkeypatch.setattr(sources, "agent_files", lambda: changed)

    return change


@contextlib.contextmanager
def prepared(limits: Limits = DEFAULT_LIMITS) -> Iterator[UmlEngine]:
    engine = UmlEngine(limits=limits)
    engine.locate(print)
    try:
        asyncio.run(engine.prepare(print))
        yield engine
    finally:
        engine.close()


def run_together(engine: UmlEngine, jobs: dict[str, Job], folder: Path) -> dict[str, BaseException | None]:
    """Run all jobs at the same time; return the error of each, or None."""

    async def run() -> list[BaseException | None]:
        tasks = []
        for number, (name, job) in enumerate(jobs.items()):
            (folder / name).mkdir()
            tasks.append(engine.run(job, folder / name, number, lambda _now: None))
        return await asyncio.gather(*tasks, return_exceptions=True)

    return dict(zip(jobs, asyncio.run(run()), strict=True))


SPINNING, DYING, FAILING = 66, 67, 68
"""Numbers of pings that make the changed agent do what the names say."""


def test_a_trial_that_goes_wrong_is_named_and_the_others_go_on(lab_cache: Path, tmp_path: Path, edit: Edit) -> None:
    wrong = f"""    if network.job["calibration"]["ping_count"] == {SPINNING}:
        while True:
            pass
    if network.job["calibration"]["ping_count"] == {DYING}:
        import os
        os._exit(1)  # the kernel panics without its first process
    if network.job["calibration"]["ping_count"] == {FAILING}:
        raise ValueError("this fails")
    pairs = """.encode()
    edit("lab/agent/topology/calibrate.py", b"    pairs = ", wrong)
    jobs: dict[str, Job] = {
        name: {**job_of("duration=2s"), "calibration": {"ping_count": pings}}
        for name, pings in {"good": 3, "spins": SPINNING, "dies": DYING, "fails": FAILING, "good-too": 3}.items()
    }
    # Long enough for the others, also on a machine that does other work meanwhile.
    with prepared(Limits(stall_s=25)) as engine:
        errors = run_together(engine, jobs, tmp_path)
        again = run_together(engine, {"later": jobs["good"]}, tmp_path)
    assert (errors["good"], errors["good-too"], errors["fails"], again["later"]) == (None, None, None, None)
    assert record_in(tmp_path / "fails")["error"] == "this fails"
    assert len({record_digest(tmp_path / name) for name in ("good", "good-too", "later")}) == 1
    assert isinstance(errors["spins"], TrialTimeoutError)
    assert "no virtual time has passed for 25 s" in str(errors["spins"])
    assert isinstance(errors["dies"], LostVMError)
    assert "User-mode Linux ended before the trial did" in str(errors["dies"])


def test_an_agent_that_cannot_prepare_itself(lab_cache: Path, edit: Edit) -> None:
    edit("lab/agent/guest/service.py", b"    load_modules()\n", b'    raise OSError("nothing works")\n')
    with pytest.raises(EngineError, match=r"User-mode Linux has ended.*nothing works"), prepared():
        pass


def test_what_finds_no_room_is_counted(lab_cache: Path, tmp_path: Path, edit: Edit, run_job: RunJob) -> None:
    job = job_of("duration=3s", "topology.bottleneck.rate=100mbit")
    whole = record_in(run_job(job))["collectors"]["tcp_probe"]
    edit("lab/agent/collectors/registry.py", b"32 << 20", b"1 << 16")
    with prepared() as engine:
        assert run_together(engine, {"small": job}, tmp_path) == {"small": None}
    probe = record_in(tmp_path / "small")["collectors"]["tcp_probe"]
    rows = read_rows(tmp_path / "small", "tcp_probe", probe)
    # A buffer of 64 KiB holds 315 rows of 208 bytes, but at this rate about 1000 rows are written between two readings.
    assert probe["lost"] > 1000
    assert probe["rows"] == len(rows) > 1000
    assert np.all(np.diff(rows["ts_ns"].astype(np.int64)) >= 0)
    assert whole["lost"] == 0
    # The figures are not equal because another agent may give slightly other results.
    assert probe["rows"] + probe["lost"] == pytest.approx(whole["rows"], rel=0.1)


def processes_of(kernel: Path) -> list[int]:
    """Return the ids of all processes whose program is *kernel*, and of their children."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and str(kernel) in (folder / "cmdline").read_text().split("\0"):
                found.append(int(folder.name))
                children = (folder / "task" / folder.name / "children").read_text()
                found += map(int, children.split())
    return found


@pytest.fixture
def own_kernel(lab_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the kernel in a cache of this test, so that its processes can be told from others."""
    engine = UmlEngine()
    engine.locate(print)
    kernel, image = engine.parts()
    cache = tmp_path / "a cache: here"
    for part, source in (("uml-kernels", kernel.path), ("images", image.path)):
        (cache / part).mkdir(parents=True)
        subprocess.run(["cp", "-r", str(source), str(cache / part)], check=True)
    subprocess.run(["cp", "-r", str(places.recipes()), str(cache)], check=True)
    monkeypatch.setenv("LAB_CACHE", str(cache))
    return cache / "uml-kernels" / kernel.digest / "linux"


def until(condition: Callable[[], bool], limit_s: float) -> None:
    """Wait until *condition* is true, but no longer than *limit_s* seconds."""
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)])
def test_nothing_is_left_when_lab_is_killed(own_kernel: Path, tmp_path: Path, how: signal.Signals) -> None:
    # Other tests use the folder for temporary files at the same time.
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [str(lab_command()), "run", str(SHIPPED), "--engine", "uml", "--set", "duration=600s"]
    lab = subprocess.Popen(
        [*command, "-o", str(tmp_path / "results")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    traffic = (tmp_path / "results").rglob
    until(lambda: bool(list(traffic("*.uml/progress"))), 60)
    assert len(processes_of(own_kernel)) > 4, "the zygote, a trial, and their processes"
    os.kill(lab.pid, how)
    lab.communicate(timeout=30)
    until(lambda: not processes_of(own_kernel), 10)
    assert processes_of(own_kernel) == []
    assert list(temporary.iterdir()) == []
    assert list((places.cache_root() / "zygotes").iterdir()) == []


@pytest.mark.nightly
def test_verify_runs_trials_again(lab: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    options = ["--engine", "uml", "--set", "duration=1s", "--set", "repeat=1", "--set", "report.defaults=false"]
    options += ["--set", "matrix.topology.bottleneck.loss=[0%]", "-o", str(tmp_path)]
    done = lab("run", str(SHIPPED), *options)
    assert done.returncode == 0, done.stderr
    again = lab("verify", done.stdout.strip())
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == "2/2 byte-identical"
    trial = Path(done.stdout.strip()) / "trials" / "cubic-loss-0pct-r1"
    table = pq.read_table(trial / "tcp_probe.parquet")
    place = table.column_names.index("snd_cwnd")
    windows = table.column(place).to_pylist()
    expected, windows[100] = windows[100], windows[100] + 1
    field = table.schema.field(place)
    write_table(table.set_column(place, field, pa.array(windows, field.type)), trial / "tcp_probe.parquet")
    again = lab("verify", done.stdout.strip(), "--trials", "1")
    assert again.returncode == 1, again.stderr
    what = f"column snd_cwnd differs first in row 100: found {expected + 1}, expected {expected}"
    assert again.stdout.splitlines() == [f"{trial.name}: tcp_probe.parquet: {what}", "0/1 byte-identical"]
