# SPDX-License-Identifier: Apache-2.0
"""The runner, tested with an engine that writes short, scripted records, some of them failed or damaged."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lab.engine.base import Notice, Step, VirtualTime
from lab.engine.bundles import Bundle
from lab.errors import EngineError, LabError, LostVMError, StoreError
from lab.experiment.check.validate import validate
from lab.experiment.read.load import load_experiment
from lab.job.protocol import CollectorResult, FlowResult, Job
from lab.plan.plan import Plan, Trial, make_plan
from lab.run.runner import Outcome, Runner
from lab.store.digest import record_digest
from lab.store.run import Run, create_run
from lab.store.trial import TrialResult
from lab.store.trial_cache import CachedRecord, TrialCache
from tests.records import record

SHIPPED = Path(__file__).parents[3] / "experiments" / "cubic_vs_bbr.yaml"


BUNDLE = Bundle("debian-13", {"emulator": "1" * 64, "image": "2" * 64})


class ScriptedEngine:
    name = "scripted"
    is_exact = True
    most_at_a_time: int | None = None

    def __init__(self, *, lose: str = "", stop_at: str = "", full: bool = False) -> None:
        self.ran: list[str] = []
        self.lose, self.stop_at, self.full = lose, stop_at, full
        self.whole_run: asyncio.Task[object] | None = None
        self.most_at_once = 0
        self.texts: dict[str, str] = {}
        """Id of a trial → the text that is written instead of a good record."""
        self.unprepared = False
        self._running = 0

    def locate(self, step: Step) -> None: ...

    def close(self) -> None: ...

    def about(self) -> dict[str, str]:
        return self.identity()

    def recipes(self) -> dict[str, str]:
        return {}

    def bundles(self) -> dict[str, Bundle]:
        return {"debian-13": BUNDLE}

    def identity(self, _job: Job | None = None) -> dict[str, str]:
        return {"engine": self.name}

    async def prepare(self, step: Step) -> None:
        self.whole_run = asyncio.current_task()
        if self.unprepared:
            raise EngineError("no template")

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        self.ran.append(directory.name)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        await asyncio.sleep(0)
        self._running -= 1
        if directory.name == self.lose:
            raise LostVMError("the virtual machine ended")
        if directory.name == self.stop_at:
            assert self.whole_run is not None
            self.whole_run.cancel()
            await asyncio.sleep(60)
        if self.full:
            raise OSError(28, "No space left on device")
        (directory / "record.json").write_text(self.texts.get(directory.name, json.dumps(record())))
        (directory / "seed").write_text(str(job["seed"]))
        (directory / "iperf3").mkdir()
        (directory / "iperf3" / "bulk.client.json").write_text("said")


class Heard:
    """An observer that keeps the reported events in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.steps: list[str] = []

    def step(self, what: str) -> None:
        self.steps.append(what)

    def reached(self, trial: Trial, virtual_ns: int) -> None: ...

    def started(self, trial: Trial) -> None:
        self.events.append(("started", trial.id))

    def finished(self, trial: Trial, wall_s: float, *, cached: bool) -> None:
        self.events.append(("cached" if cached else "finished", trial.id))

    def failed(self, trial: Trial, error: LabError) -> None:
        self.events.append((f"failed: {error}", trial.id))


@pytest.fixture
def plan() -> Plan:
    return make_plan(load_experiment(SHIPPED, ["repeat=2", "matrix.topology.bottleneck.loss=[0%]"]).checked)


def in_order(plan: Plan) -> list[str]:
    """Return the ids of the trials in the order in which they run: the first repetition of each cell comes first."""
    return [trial.id for number in (1, 2) for trial in plan.trials if trial.repetition == number]


def run(
    plan: Plan,
    root: Path,
    engine: ScriptedEngine,
    *,
    jobs: int = 1,
    read_cache: bool = True,
    heard: Heard | None = None,
    cache: TrialCache | None = None,
) -> tuple[Run, Outcome]:
    folder = create_run(root / "results", plan.name, b"", json.loads(plan.to_json()))
    cache = cache or TrialCache(root / "cache")
    runner = Runner(engine, heard or Heard(), plan, folder, jobs=jobs, cache=cache, read_cache=read_cache)
    return folder, asyncio.run(runner.run({}))


def finished(run: Run) -> set[str]:
    return {trial.id for trial in run.trials() if trial.ok}


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_trial_runs_once_then_comes_from_the_cache(plan: Plan, tmp_path: Path, jobs: int) -> None:
    engine = ScriptedEngine()
    first, outcome = run(plan, tmp_path, engine, jobs=jobs)
    assert sorted(engine.ran) == sorted(trial.id for trial in plan.trials)
    assert finished(first) == {trial.id for trial in plan.trials}
    again, cached = run(plan, tmp_path, engine)
    assert len(engine.ran) == 4
    assert (outcome.cached, cached.cached) == (0, 4)
    assert again.provenance["results_digest"] == first.provenance["results_digest"]


def test_without_reading_the_cache_every_trial_runs_again(plan: Plan, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    run(plan, tmp_path, engine)
    run(plan, tmp_path, engine, read_cache=False)
    assert len(engine.ran) == 8


def test_a_lost_machine_costs_its_trial_only(plan: Plan, tmp_path: Path) -> None:
    lost = plan.trials[1].id
    folder, outcome = run(plan, tmp_path, ScriptedEngine(lose=lost))
    assert list(outcome.failures) == [lost]
    assert finished(folder) == {trial.id for trial in plan.trials} - {lost}
    assert folder.trial(lost).error == "the virtual machine ended"
    assert folder.provenance["status"] == "failed"


def test_an_interrupted_run_keeps_what_is_finished(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        run(plan, tmp_path, ScriptedEngine(stop_at=in_order(plan)[2]))
    engine = ScriptedEngine()
    _, outcome = run(plan, tmp_path, engine)
    assert outcome.cached == 2
    assert engine.ran == in_order(plan)[2:]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_an_error_of_the_engine_is_reported_as_what_it_is(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        run(plan, tmp_path, ScriptedEngine(full=True))
    expected = f"trial {plan.trials[0].id}: the engine scripted could not run it: [Errno 28] No space left on device"
    assert str(caught.value) == expected


def test_a_trial_that_cannot_be_stored_says_so(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: TrialResult) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TrialResult, "file_digest", full)
    with pytest.raises(StoreError, match=r"^cannot store trial .*No space left on device"):
        run(plan, tmp_path, ScriptedEngine())


class Vanishing(TrialCache):
    """Another process prunes it at the worst moment: a record is gone when it has just been looked up."""

    def get(self, key: str) -> CachedRecord | None:
        found = super().get(key)
        self.remove(key)
        return found


class Halved(TrialCache):
    """Another process prunes it while a record is being read: some of its files are gone."""

    def get(self, key: str) -> CachedRecord | None:
        found = super().get(key)
        if found is not None:
            (found.directory / "seed").unlink()
        return found


@pytest.mark.parametrize("kind", [Vanishing, Halved])
def test_a_record_that_others_remove_while_it_is_read_runs_again(
    plan: Plan, tmp_path: Path, kind: type[TrialCache]
) -> None:
    first, _ = run(plan, tmp_path, ScriptedEngine())
    engine = ScriptedEngine()
    again, outcome = run(plan, tmp_path, engine, cache=kind(tmp_path / "cache"))
    assert (outcome.cached, outcome.failures) == (0, {})
    assert engine.ran == in_order(plan)
    assert again.results_digest() == first.results_digest()


def test_a_cache_that_does_not_work_is_named_once_and_promises_nothing(plan: Plan, tmp_path: Path) -> None:
    heard = Heard()
    (tmp_path / "cache").touch()
    folder = create_run(tmp_path / "results", plan.name, b"", json.loads(plan.to_json()))
    runner = Runner(ScriptedEngine(), heard, plan, folder, jobs=2, cache=TrialCache(tmp_path / "cache"))
    assert runner.continues
    outcome = asyncio.run(runner.run({}))
    assert finished(folder) == {trial.id for trial in plan.trials}
    assert (outcome.failures, folder.provenance["status"]) == ({}, "complete")
    assert heard.steps == [
        f"warning: the cache {tmp_path}/cache does not work: the records of finished trials cannot be kept there: "
        "Not a directory; the run goes on without it"
    ]
    assert not runner.continues


def test_a_run_folder_that_cannot_be_written_is_no_trouble_of_the_cache(plan: Plan, tmp_path: Path) -> None:
    run(plan, tmp_path, ScriptedEngine())

    folder = create_run(tmp_path / "results", plan.name, b"", json.loads(plan.to_json()))
    (folder.path / "trials").rmdir()
    (folder.path / "trials").touch()
    runner = Runner(ScriptedEngine(), Heard(), plan, folder, jobs=1, cache=TrialCache(tmp_path / "cache"))
    with pytest.raises((StoreError, OSError), match=r"trials.*Not a directory|Not a directory.*trials"):
        asyncio.run(runner.run({}))


def test_an_agent_that_leaves_no_record_costs_its_trial_only(plan: Plan, tmp_path: Path) -> None:
    class Forgetful(ScriptedEngine):
        async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
            await super().run(job, directory, worker, on_time)
            if directory.name == plan.trials[0].id:
                (directory / "record.json").unlink()

    _, outcome = run(plan, tmp_path, Forgetful())
    assert {name: str(error) for name, error in outcome.failures.items()} == {
        plan.trials[0].id: "the agent left no record.json"
    }


def test_a_run_says_what_it_leaves_alone(plan: Plan, tmp_path: Path) -> None:
    unknown = tmp_path / "results" / plan.name / f".tmp-7-1-{'f' * 16}-x"
    unknown.mkdir(parents=True)
    heard = Heard()
    run(plan, tmp_path, ScriptedEngine(), heard=heard)
    assert unknown.exists()
    assert [text.partition(":")[0] for text in heard.steps] == [f"{unknown} stays"]
    assert isinstance(heard.steps[0], Notice)


def test_the_latest_run_is_one_that_has_started_a_trial(plan: Plan, tmp_path: Path) -> None:
    refusing = ScriptedEngine()
    refusing.unprepared = True
    link = tmp_path / "results" / plan.name / "latest"
    with pytest.raises(EngineError):
        run(plan, tmp_path, refusing)
    assert not link.is_symlink()
    failed, _ = run(plan, tmp_path, ScriptedEngine(lose=plan.trials[0].id))
    assert link.resolve() == failed.path
    cached, _ = run(replace(plan, trials=plan.trials[1:]), tmp_path, refusing)
    assert link.resolve() == cached.path
    with pytest.raises(EngineError):
        run(plan, tmp_path, refusing, read_cache=False)
    run(replace(plan, trials=()), tmp_path, ScriptedEngine())
    assert link.resolve() == cached.path
    with pytest.raises(asyncio.CancelledError):
        run(plan, tmp_path, ScriptedEngine(stop_at=plan.trials[0].id), read_cache=False)
    assert link.resolve() not in (failed.path, cached.path)


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_as_many_trials_at_a_time_as_asked_repetition_by_repetition(plan: Plan, tmp_path: Path, jobs: int) -> None:
    engine, heard = ScriptedEngine(), Heard()
    run(plan, tmp_path, engine, jobs=jobs, heard=heard)
    assert engine.most_at_once == min(jobs, 4)
    assert engine.ran == in_order(plan)
    assert [trial for event, trial in heard.events if event == "started"] == engine.ran
    assert sorted(trial for event, trial in heard.events if event == "finished") == sorted(engine.ran)


def test_a_record_that_says_failed_is_not_kept_for_next_time(plan: Plan, tmp_path: Path) -> None:
    bad = plan.trials[0].id
    engine = ScriptedEngine()
    engine.texts[bad] = json.dumps({**record(), "status": "failed", "error": "iperf3 would not"})
    heard = Heard()
    folder, outcome = run(plan, tmp_path, engine, heard=heard)
    assert list(outcome.failures) == [bad]
    assert ("failed: iperf3 would not", bad) in heard.events
    assert folder.trial(bad).error == "iperf3 would not"
    assert (folder.path / "trials" / bad / "iperf3" / "bulk.client.json").read_text() == "said"
    again, outcome = run(plan, tmp_path, ScriptedEngine())
    assert outcome.cached == 3
    assert finished(again) == {trial.id for trial in plan.trials}


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"status": "failed"}', json.dumps({**record(), "flows": 3}), "[" * 100_000]
)
def test_a_damaged_record_costs_its_trial_only(plan: Plan, tmp_path: Path, text: str) -> None:
    engine = ScriptedEngine()
    engine.texts[plan.trials[0].id] = text
    _, outcome = run(plan, tmp_path, engine)
    assert "the agent's record is damaged" in str(outcome.failures[plan.trials[0].id])
    assert len(engine.ran) == 4
    # It is not in the cache, where it would end later runs.
    _, outcome = run(plan, tmp_path, ScriptedEngine())
    assert outcome.cached == 3


def rows_of(*, file: str, row_bytes: int) -> CollectorResult:
    return {"file": file, "rows": 1, "lost": 0, "row_bytes": row_bytes, "fields": [], "names": {}}


def flow_result(client_json: str = "") -> FlowResult:
    return {
        "name": "flow", "source_address": "10.0.0.1", "source_port": 1, "destination_address": "10.0.1.1",
        "destination_port": 2, "congestion_control": "cubic", "tcp_info": {}, "tcp_info_at_ns": 0,
        "accounts": {"sides": {}, "datagrams": None, "sockets": []}, "was_given_up": False, "client_json": client_json,
        "server_json": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"flows": [flow_result()]}, "the iperf3 client output of flow flow has no name"),
        ({"flows": [flow_result("iperf3/gone")]}, "'iperf3/gone' is missing from the record"),
        ({"flows": [flow_result("/etc/passwd")]}, "'/etc/passwd' lies outside the record"),
        ({"collectors": {"flow": rows_of(file="seed", row_bytes=8)}}, "but the record announces 1 rows of 8 bytes"),
        ({"collectors": {"flow": rows_of(file="gone", row_bytes=8)}}, "'gone' is missing from the record"),
        ({"collectors": {"../x": rows_of(file="seed", row_bytes=8)}}, "../x"),
    ],
)
def test_a_record_that_contradicts_its_files_costs_its_trial_only(
    plan: Plan, tmp_path: Path, part: dict[str, object], found: str
) -> None:
    engine = ScriptedEngine()
    bad = plan.trials[0].id
    engine.texts[bad] = json.dumps({**record(), **part})
    folder, outcome = run(plan, tmp_path, engine)
    assert list(outcome.failures) == [bad]
    assert "the agent's record is damaged" in str(outcome.failures[bad])
    assert found in str(outcome.failures[bad])
    assert finished(folder) == {trial.id for trial in plan.trials[1:]}


def test_a_cached_record_of_wrong_types_is_run_again(plan: Plan, tmp_path: Path) -> None:
    run(plan, tmp_path, ScriptedEngine())
    path = sorted((tmp_path / "cache").rglob("record.json"))[0]
    path.write_text(json.dumps({**record(), "flows": 3}))
    (path.parents[1] / "digest").write_text(record_digest(path.parent))
    _, outcome = run(plan, tmp_path, ScriptedEngine())
    assert (outcome.cached, outcome.failures) == (3, {})


def test_an_engine_that_cannot_start_is_no_interruption(plan: Plan, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.unprepared = True
    with pytest.raises(EngineError, match="no template"):
        run(plan, tmp_path, engine)
    (provenance,) = (tmp_path / "results").rglob("provenance.json")
    assert json.loads(provenance.read_text())["status"] == "failed"


def test_a_damaged_entry_of_the_cache_is_run_again(plan: Plan, tmp_path: Path) -> None:
    first, _ = run(plan, tmp_path, ScriptedEngine())
    damaged = sorted((tmp_path / "cache").rglob("seed"))[0]
    damaged.write_text("another")
    engine = ScriptedEngine()
    again, outcome = run(plan, tmp_path, engine)
    assert (outcome.cached, len(engine.ran)) == (3, 1)
    assert again.results_digest() == first.results_digest()


def test_a_trial_that_is_being_stored_when_the_run_is_stopped_is_stored_whole(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()
    original = TrialCache.put

    def put(self: TrialCache, key: str, directory: Path) -> Path:
        # This runs in the worker's thread, so that the run is cancelled while the record is being copied.
        assert engine.whole_run is not None
        loop = engine.whole_run.get_loop()
        asyncio.run_coroutine_threadsafe(_cancel(engine.whole_run), loop).result(10)
        time.sleep(0.1)  # gives a premature clean-up, which would be an error, the time to happen
        return original(self, key, directory)

    monkeypatch.setattr(TrialCache, "put", put)
    with pytest.raises(asyncio.CancelledError):
        run(plan, tmp_path, engine)
    monkeypatch.undo()
    (run_folder,) = (tmp_path / "results" / plan.name).glob("2*")
    assert finished(Run(run_folder)) == {plan.trials[0].id}
    provenance = json.loads((run_folder / "provenance.json").read_text())
    assert (provenance["status"], list(provenance["trials"])) == ("interrupted", [plan.trials[0].id])
    assert not list(run_folder.glob(".tmp-*"))
    assert run(plan, tmp_path, ScriptedEngine())[1].cached == 1


async def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()


def test_what_cannot_be_repeated_is_neither_cached_nor_run_cell_by_cell(tmp_path: Path) -> None:
    plan = make_plan(validate({**load_experiment(SHIPPED).raw, "repeat": 3}))
    engine = ScriptedEngine()
    engine.is_exact, engine.most_at_a_time = False, 1
    _folder, outcome = run(plan, tmp_path, engine, jobs=4)
    assert (engine.most_at_once, outcome.cached) == (1, 0)
    # The repetitions follow each other, so that gradual changes of the machine favour no cell; within each repetition,
    # the cells are not in the order of the plan.
    repetitions = [int(name.rpartition("-r")[2]) for name in engine.ran]
    assert repetitions == sorted(repetitions)
    orders = [[name.rpartition("-r")[0] for name in engine.ran[at : at + 6]] for at in (0, 6, 12)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted(cell.id for cell in plan.cells) for order in orders)
    again = ScriptedEngine()
    again.is_exact = False
    assert run(plan, tmp_path, again)[1].cached == 0
