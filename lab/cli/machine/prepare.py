# SPDX-License-Identifier: Apache-2.0
"""The command `lab prepare`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import (
    EngineName,
    Jobs,
    Overrides,
    Quiet,
    Verbose,
    all_overrides,
    detail_of,
    engine_named,
    planned,
    processors,
    say,
)
from lab.errors import EXIT_FAILED, EXIT_OK, InputError

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.experiment.read.load import LoadedExperiment
    from lab.plan.plan import Plan
    from lab.run.progress import Detail
    from lab.run.share import Share


def prepare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="The experiments, YAML files; a folder stands for all experiments in it that expect something.",
        ),
    ],
    share: Annotated[
        str | None,
        typer.Option(
            "--share",
            metavar="K/N",
            help="Also run the Kth of N shares of the trials of each experiment, and keep their records in the cache.",
        ),
    ] = None,
    key: Annotated[
        bool,
        typer.Option(
            "--key",
            help="Build nothing; print a digest of what would be built, as the key of a cache that keeps it for later.",
        ),
    ] = False,
    jobs: Jobs = None,
    set_: Overrides = None,
    engine_: EngineName = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Build what the trials of experiments need, and maybe run a share of them; `lab run` then finds it in the cache.

    Nothing is reported.  Several machines can each run a share of the trials: the records in the folder `trials` of
    their caches, copied into one cache, are what `lab run` takes there.
    """
    from lab.api.known import image_lookup

    chosen, detail = _share(share), detail_of(verbose, quiet)
    overrides = all_overrides(set_, engine_)
    experiments = [planned(file, overrides, image_lookup([])) for file in _experiments(files)]
    if key:
        print(_key_of(experiments))
        raise typer.Exit(EXIT_OK)
    failed = [_prepared(loaded, plan, chosen, jobs or processors(), detail) for loaded, plan in experiments]
    raise typer.Exit(EXIT_FAILED if any(failed) else EXIT_OK)


def _experiments(named: list[Path]) -> list[Path]:
    from lab.experiment.read.expecting import expecting_in

    found: list[Path] = []
    for path in named:
        inside = expecting_in(path) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path}: found no experiment with `expect:` in the folder; expected one at least")
        found += inside
    return found


def _share(text: str | None) -> Share | None:
    from lab.run.share import parse_share

    try:
        return None if text is None else parse_share(text)
    except ValueError as error:
        raise InputError(f"--share: {error}") from None


def _key_of(experiments: list[tuple[LoadedExperiment, Plan]]) -> str:
    from lab.run.modules import recipes_of

    recipes: dict[str, str] = {}
    for loaded, plan in experiments:
        recipes |= engine_named(plan.engine, plan, loaded.packages).recipes() | recipes_of(plan)
    return hashlib.sha256(json.dumps(recipes, sort_keys=True).encode()).hexdigest()


def _prepared(loaded: LoadedExperiment, plan: Plan, share: Share | None, jobs: int, detail: Detail) -> bool:
    """Prepare for the trials of one experiment; return whether any of the trials that ran has failed."""
    from lab.api.starting import located
    from lab.run.modules import prepare_headers
    from lab.run.progress import observing

    engine = engine_named(plan.engine, plan, loaded.packages)
    if share is None:
        with observing(plan, detail) as observer:
            located(engine, observer)
            prepare_headers(plan, engine, observer.step)
            try:
                asyncio.run(engine.prepare(observer.step))
            finally:
                engine.close()
        return False
    if not engine.is_exact:
        raise InputError(f"--share: found an experiment with engine: {engine.name}; expected one in virtual time")
    return _run_share(engine, loaded, share.part_of(plan), jobs, detail)


def _run_share(engine: Engine, loaded: LoadedExperiment, plan: Plan, jobs: int, detail: Detail) -> bool:
    from lab.api.starting import runner_for
    from lab.run.progress import observing

    with tempfile.TemporaryDirectory(prefix="lab-share-") as scratch, observing(plan, detail) as observer:
        outcome = asyncio.run(runner_for(engine, loaded, plan, Path(scratch), observer, jobs=jobs).run({}))
    for trial_id, error in outcome.failures.items():
        say(f"lab: {plan.name}: trial {trial_id} failed: {error}")
    say(f"{plan.name}: {len(plan.trials) - len(outcome.failures)} trials are in the cache")
    return bool(outcome.failures)
