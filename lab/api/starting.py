# SPDX-License-Identifier: Apache-2.0
"""Make everything ready for the trials of a plan: the engine, the folder of the run, and what runs the trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.experiment.read.load import LoadedExperiment
    from lab.plan.plan import Plan
    from lab.run.runner import Observer, Runner


def runner_for(
    engine: Engine,
    loaded: LoadedExperiment,
    plan: Plan,
    output: Path,
    observer: Observer,
    *,
    jobs: int,
    read_cache: bool = True,
) -> Runner:
    """Find or build what *engine* needs, make the folder of a new run in *output*, and return what runs the trials.

    What killed processes have left in the cache is removed first.  The other arguments are those of
    :class:`lab.run.runner.Runner`; the cache of trials is the user's.

    Raises:
        InputError: A kernel module of the plan does not compile.
        MachineryError: This machine lacks something that the engine needs, or the folder cannot be written.
    """
    from lab.run.modules import with_modules
    from lab.run.runner import Runner
    from lab.store import places
    from lab.store.run import create_run
    from lab.store.trial_cache import TrialCache

    located(engine, observer)
    plan = with_modules(plan, engine, observer.step)
    folder = create_run(output, plan.name, loaded.text, plan.document(), loaded.files)
    cache = TrialCache(places.trials())
    return Runner(engine, observer, plan, folder, jobs=jobs, cache=cache, read_cache=read_cache)


def located(engine: Engine, observer: Observer) -> None:
    """Remove what killed processes have left in the cache, and find or build what *engine* needs.

    Raises:
        MachineryError: This machine lacks something that the engine needs.
    """
    from lab.engine.base import Notice
    from lab.store import places

    for message in places.remove_leftovers():
        observer.step(Notice(message))
    engine.locate(observer.step)
