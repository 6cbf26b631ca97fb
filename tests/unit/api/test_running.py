# SPDX-License-Identifier: Apache-2.0
"""``lab.run``: experiments in files and in Python run in the same way and leave the same, wherever they are called."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lab
import lab.api.running
from lab.api.loops import run_in_own_loop
from lab.engine.base import Engine, VirtualTime
from lab.engine.replay import ReplayEngine
from lab.experiment.read.load import load_experiment
from lab.job.protocol import Job
from tests.data.capture import EXPERIMENTS, RECORDS
from tests.unit.cli.conftest import Changing, Lab, die, engines_of_commands
from tests.unit.cli.test_verdict import another_mtu

UDP = EXPERIMENTS / "udp.yaml"
FAILED = EXPERIMENTS / "failed.yaml"
AS_A_MAPPING: dict[str, Any] = {
    "name": "failed",
    "topology": {"kind": "dumbbell", "bottleneck": {"rate": "4mbit", "delay": "10ms"}},
    "flows": {"bulk": {"from": "s1", "to": "d1", "message": "16KiB"}},
    "duration": "2s",
}
"""The experiment ``failed`` of ``tests/data`` without its matrix."""


def jobs_of(run: lab.Run) -> dict[str, str]:
    return {trial["id"]: trial["digest"] for trial in run.plan["trials"]}


# --- what it leaves ------------------------------------------------------------------------------------------


def test_a_file_runs_as_on_the_command_line(engines: list[Engine], capfd: pytest.CaptureFixture[str]) -> None:
    run = lab.run(UDP, output="here")
    assert (run.state, run.experiment) == ("complete", "udp")
    assert run.path.parent == Path("here/udp").resolve()
    assert (Path("here/udp") / "latest").resolve() == run.path
    assert (run.path / "experiment.yaml").read_bytes() == UDP.read_bytes()
    assert run.report == run.path / "report" / "index.html"
    assert run.provenance["command"] == f"lab.run({str(UDP)!r})"
    assert len(run.metrics) == 8
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("done in") == 4


def test_nothing_is_printed_without_progress(engines: list[Engine], capfd: pytest.CaptureFixture[str]) -> None:
    lab.run(str(UDP), progress=False)
    assert capfd.readouterr() == ("", "")


def test_the_second_run_takes_all_trials_from_the_cache(engines: list[Engine]) -> None:
    first = lab.run(UDP, progress=False)
    engines[:] = [Changing(die)]  # which nobody asks for anything
    again = lab.run(UDP, progress=False)
    assert first.id != again.id
    assert first.provenance["results_digest"] == again.provenance["results_digest"]
    with pytest.raises(lab.TrialsFailedError, match=r"4 of 4 trials failed: .*; and 1 more"):
        lab.run(UDP, progress=False, cache=False)


def test_values_are_set_as_with_the_option(engines: list[Engine]) -> None:
    with pytest.raises(lab.TrialsFailedError) as caught:  # nothing was captured of these jobs
        lab.run(UDP, set={"duration": "3s", "repeat": np.int64(1), "flows.voice.rate": "64kbit"}, progress=False)
    run = caught.value.run
    assert run.provenance["overrides"] == ("duration=3s", "repeat=1", "flows.voice.rate=64kbit")
    assert {trial["job"]["duration_ns"] for trial in run.plan["trials"]} == {3 * 10**9}
    assert len(run.trials) == 2
    assert run.state == "failed"
    assert "lab run experiment.yaml --set duration=3s --set repeat=1" in run.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": "yes it: is"}, 'name="yes it: is"'),
        ({"name": ""}, 'name=""'),
        ({"name": "12"}, 'name="12"'),
        ({"matrix.flows.bulk.cc": ("cubic", "bbr")}, 'matrix.flows.bulk.cc=["cubic", "bbr"]'),
        ({"a.b": {"c": None, "d": 0.00001, "é": True}}, 'a.b={"c": null, "d": 1e-05, "é": true}'),
    ],
)
def test_each_value_becomes_an_override_that_means_it(values: Mapping[str, Any], expected: str) -> None:
    from lab.api.building import overrides_of
    from lab.experiment.read.document import parse_yaml

    assert overrides_of(values) == [expected]
    ((value),) = values.values()
    parsed = parse_yaml(expected.partition("=")[2])
    assert not parsed.faults
    assert parsed.root == (list(value) if isinstance(value, tuple) else value)


# --- experiments in Python -----------------------------------------------------------------------------------


def test_a_mapping_and_a_model_make_the_jobs_of_the_file(engines: list[Engine]) -> None:
    expected = {"single-r1": lab.run(FAILED, set={"matrix": {}}, progress=False).plan["trials"][0]["digest"]}
    model = lab.Experiment(**AS_A_MAPPING)
    for given in (AS_A_MAPPING, model, {**AS_A_MAPPING, "topology": model.topology}):
        run = lab.run(given, progress=False)
        assert jobs_of(run) == expected
        assert run.state == "complete"
        assert run.experiment_text.startswith("# Written by lab")


def test_the_command_line_runs_and_verifies_what_python_has_run(
    engines: list[Engine], lab_command: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines_of_commands(monkeypatch, [ReplayEngine(RECORDS)])
    run = lab.run(lab.Experiment(**AS_A_MAPPING), set={"matrix.flows.bulk.cc": ["cubic"]}, progress=False)
    said = lab_command("verify", run.path)
    assert (said.code, said.lines) == (0, ["1/1 byte-identical"])
    again = lab_command("run", run.path / "experiment.yaml", "--set", "matrix.flows.bulk.cc=[cubic]")
    assert again.code == 0
    assert jobs_of(lab.load(again.lines[-1])) == jobs_of(run)


def test_files_that_a_mapping_names_are_stored(engines: list[Engine], tmp_path: Path) -> None:
    source = load_experiment(EXPERIMENTS / "capacity.yaml")
    name = source.raw["topology"]["bottleneck"]["capacity"]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes((EXPERIMENTS / name).read_bytes())
    run = lab.run(source.raw, progress=False)
    assert (run.path / "inputs" / name).read_bytes() == (EXPERIMENTS / name).read_bytes()
    assert run.state == "complete"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**AS_A_MAPPING, "duration": 2}, "experiment: duration: found 2; expected a duration"),
        ({**AS_A_MAPPING, "durations": "2s"}, "experiment: unknown field 'durations'; did you mean 'duration'?"),
        ({**AS_A_MAPPING, "flows": {"bulk": {1: 2}}}, "flows.bulk: found the key 1; expected a text"),
        ({**AS_A_MAPPING, "duration": threading.Lock()}, "duration: found <unlocked _thread.lock"),
        (["name"], "expected an Experiment, a mapping, or the path of a file"),
        ("nowhere.yaml", "nowhere.yaml: there is no such file"),
    ],
)
def test_what_is_wrong_with_an_experiment_is_said(engines: list[Engine], given: Any, message: str) -> None:
    with pytest.raises(lab.SpecError) as caught:
        lab.run(given)
    assert message in str(caught.value)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs: found 0; expected 1 or more"),
        ({"engine": "qemu"}, "set engine=qemu: engine: found 'qemu'"),
        ({"set": {"duration": 5}}, "set duration=5: duration: found 5; expected a duration"),
        ({"set": {"repat": 5}}, "did you mean 'repeat'?"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said(
    engines: list[Engine], options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(lab.InputError) as caught:
        lab.run(UDP, **options)
    assert message in str(caught.value)
    assert not Path("results").exists()


def test_a_model_alone_reads_no_files() -> None:
    link = {"capacity": "some.mahimahi", "delay": "10ms"}
    with pytest.raises(ValueError, match="a model alone reads no files; write the experiment as a mapping"):
        lab.Experiment(**{**AS_A_MAPPING, "topology": {"kind": "dumbbell", "bottleneck": link}})


# --- where it is called --------------------------------------------------------------------------------------


def test_it_runs_inside_of_a_running_event_loop(engines: list[Engine]) -> None:
    async def cell() -> lab.Run:
        await asyncio.sleep(0)
        return lab.run(UDP, progress=False)

    assert asyncio.run(cell()).state == "complete"


def test_failed_trials_are_an_error_that_has_the_run(engines: list[Engine]) -> None:
    with pytest.raises(lab.TrialsFailedError, match=r"1 of 2 trials failed: nosuch-r1: the kernel has no") as caught:
        lab.run(FAILED, progress=False)
    run = caught.value.run
    assert (run.state, caught.value.exit_code) == ("failed", 3)
    assert run.trials["status"].to_list() == ["ok", "failed"]
    assert run.report is not None


def test_invalid_trials_are_said_and_are_no_error(engines: list[Engine], capfd: pytest.CaptureFixture[str]) -> None:
    engines[:] = [Changing(another_mtu)]
    run = lab.run(UDP, jobs=1)
    assert capfd.readouterr().err.splitlines()[-1] == "2 of 4 trials are invalid: `run.checks` says why"
    invalid = run.checks.filter(verdict="invalid")
    assert set(invalid["id"]) == {"mtu"}
    assert invalid["trial"].to_list() == [name for name in run.trials["trial"] if name.endswith("-r1")]
    assert run.trials["verdict"].to_list() == ["invalid", "ok", "invalid", "ok"]


def test_an_engine_that_cannot_start(engines: list[Engine], tmp_path: Path) -> None:
    engines[:] = [ReplayEngine(tmp_path / "nothing")]
    with pytest.raises(lab.MachineryError, match="there are no captured records"):
        lab.run(UDP, progress=False)
    assert not Path("results").exists()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt: a shell starts jobs in the background with SIGINT ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_keeps_what_is_finished(engines: list[Engine]) -> None:
    class Interrupted(ReplayEngine):
        async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
            await super().run(job, directory, worker, on_time)
            if directory.name == "queue-fq_codel-100p-r1":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                await asyncio.sleep(60)

    engines[:] = [Interrupted(RECORDS)]
    with pytest.raises(KeyboardInterrupt) as caught:
        lab.run(UDP, jobs=1, progress=False)
    (note,) = caught.value.__notes__
    assert note.startswith("1 of 4 trials are finished and kept in ")
    assert note.endswith("; the same call continues with the others")
    run = lab.load("results/udp/latest")
    assert run.state == "interrupted"
    assert run.trials["status"].to_list() == ["ok", "missing", "missing", "missing"]
    assert len(run.metrics) == 2
    assert not list(run.path.rglob(".tmp-*"))
    engines[:] = [ReplayEngine(RECORDS)]
    continued = lab.run(UDP, progress=False)
    assert sum(trial["cached"] for trial in continued.provenance["trials"].values()) == 1


def test_an_interrupt_while_the_report_is_written(engines: list[Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.api.running.build_report", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        lab.run(UDP, progress=False)
    (note,) = caught.value.__notes__
    assert note.startswith("4 of 4 trials are finished and kept in results/udp/")
    assert note.endswith("` writes the report")
    run = lab.load("results/udp/latest")
    assert (run.state, run.report, len(run.metrics)) == ("complete", None, 8)


def test_the_coroutine_cleans_up_before_the_interrupt_goes_on() -> None:
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            cleaned.append(threading.current_thread().name)

    def tick() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_own_loop(work, tick)
    assert cleaned == ["lab.run"]


def test_an_error_of_the_coroutine_comes_out() -> None:
    async def work() -> None:
        raise TimeoutError("too late")

    with pytest.raises(TimeoutError, match="too late"):
        run_in_own_loop(work, lambda: None)


def test_the_package_of_the_same_name_stays_one(engines: list[Engine]) -> None:
    import lab.run.runner

    assert lab.run.runner.Runner.__module__ == "lab.run.runner"  # type: ignore[attr-defined]
    assert isinstance(lab.run(UDP, progress=False), lab.Run)
    assert inspect.signature(lab.run) == inspect.signature(lab.api.running.run)
