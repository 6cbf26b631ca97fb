# SPDX-License-Identifier: Apache-2.0
"""Make the captured records again: ``python -m tests.data.capture [EXPERIMENT …]``.

Each experiment in ``experiments/`` is run, and the record of each of its trials put into ``records/``, whatever was
there of it before.  It needs what ``lab run`` needs (QEMU, and the images of both kernels); ``native`` needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from lab.engine.base import Engine
from lab.engine.native.engine import NativeEngine
from lab.engine.replay import SUFFIX, write_capture
from lab.engine.vm.engine import VmEngine
from lab.errors import TrialError
from lab.experiment.read.load import load_experiment
from lab.plan.plan import Plan, Trial, make_plan
from lab.run.runner import run_workers
from lab.store.folders import scratch_folder

HERE = Path(__file__).parent
EXPERIMENTS = HERE / "experiments"
RECORDS = HERE / "records"
NATIVE = ("native",)
"""Experiments that run on this machine's kernel; all others in virtual machines."""


def names() -> list[str]:
    """Return the names of all experiments."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def plan_of(name: str) -> Plan:
    """Return the plan of an experiment of this folder."""
    return make_plan(load_experiment(EXPERIMENTS / f"{name}.yaml").checked)


def main(arguments: Sequence[str] | None = None) -> None:
    """Capture the experiments that the command line names, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="those to capture; all without any")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="trials at a time")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.experiments) - set(names()))
    if unknown:
        parser.error(f"no experiment {', '.join(unknown)}; there are: {', '.join(names())}")
    began = time.monotonic()
    for name in options.experiments or names():
        asyncio.run(capture(name, options.jobs))
    size = sum(path.stat().st_size for path in RECORDS.rglob(f"*{SUFFIX}"))
    print(f"captured in {time.monotonic() - began:.0f} s; all captures take {size / 1e6:.2f} MB")


async def capture(name: str, jobs: int) -> None:
    """Run all trials of the experiment *name* and replace its captures."""
    plan = plan_of(name)
    engine: Engine = NativeEngine([trial.job for trial in plan.trials]) if name in NATIVE else VmEngine(plan.kernels)
    engine.locate(print)
    with scratch_folder("capture", print) as scratch:
        made = scratch / "made"
        await engine.prepare(print)
        waiting = iter(plan.trials)

        async def work(worker: int) -> None:
            for trial in waiting:
                await _capture(engine, trial, worker, scratch / f"{trial.id}", made / f"{trial.id}{SUFFIX}")
                print(f"{name}: {trial.id}", flush=True)

        try:
            await run_workers(work(worker) for worker in range(min(jobs, engine.most_at_a_time or jobs)))
        finally:
            engine.close()
        shutil.rmtree(RECORDS / name, ignore_errors=True)
        shutil.copytree(made, RECORDS / name)


async def _capture(engine: Engine, trial: Trial, worker: int, directory: Path, archive: Path) -> None:
    directory.mkdir()
    failure: TrialError | None = None
    try:
        await engine.run(trial.job, directory, worker, lambda _now: None)
    except TrialError as error:
        failure = error
    write_capture(archive, trial.job, directory, engine.identity(trial.job), failure)
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
