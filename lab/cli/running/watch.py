# SPDX-License-Identifier: Apache-2.0
"""The command `lab watch`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import (
    BundleOption,
    EngineName,
    ExperimentFile,
    Overrides,
    all_overrides,
    chosen_bundles,
    engine_named,
    planned,
    say,
)
from lab.cli.running.experiments import TrialOption, chosen_trial
from lab.errors import InputError, SpecError

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.engine.steering import Steering
    from lab.experiment.read.load import LoadedExperiment
    from lab.job.protocol import Job
    from lab.plan.plan import Plan


def watch(
    file: ExperimentFile,
    set_: Overrides = None,
    trial: TrialOption = None,
    engine_: EngineName = None,
    bundle: BundleOption = None,
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, help="The port of the page on the loopback interface; 0: a free one."),
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser, if there is a desktop.")
    ] = True,
) -> None:
    """Show a trial in the browser while it runs, and change its links with sliders.  Ctrl-C ends it."""
    from lab.api.known import image_lookup
    from lab.bundle.choose import check_kernels, using
    from lab.run.modules import with_modules
    from lab.watch.links import WatchedLinks
    from lab.watch.rendering import WatchPage
    from lab.watch.server import serving
    from lab.watch.session import Session

    bundles = chosen_bundles(bundle)
    with using(bundles):
        loaded, plan = _planned(file, set_, engine_, image_lookup([]))
        chosen = chosen_trial(plan, trial)
        check_kernels(bundles, plan.kernels, plan.engine)
        links = WatchedLinks(plan.cell(chosen.cell_id).experiment, loaded.contents, repetition=chosen.repetition)
        engine = engine_named(plan.engine, plan, loaded.packages)
        engine.locate(say)
        with_modules(plan, engine, say)  # A module that does not compile is no reason to open a page.
    try:
        asyncio.run(engine.prepare(say))
        session = Session(_WithModules(engine), links, Path(file))
        page = WatchPage(f"{plan.name}: {chosen.id}", plan.engine, links)
        with serving(session, page.html, port) as server:
            say(f"the page shows trial {chosen.id}; Ctrl-C ends it, and so does closing the page")
            print(server.url, flush=True)
            if browser and _has_desktop():
                webbrowser.open(server.url)
            asyncio.run(session.run())
    finally:
        engine.close()


class _WithModules:
    """An engine that gets jobs with compiled modules.  Implements :class:`lab.engine.steering.Watchable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def watch(self, job: Job, steering: Steering) -> None:
        from lab.run.modules import with_modules_in

        await self._engine.watch(with_modules_in(job, self._engine, say), steering)  # type: ignore[attr-defined]


def _planned(file: Path, set_: list[str] | None, engine: str | None, lookup: object) -> tuple[LoadedExperiment, Plan]:
    """Plan the experiment with the engine that is asked for; without any, the fastest one that can run it."""
    overrides = all_overrides(set_, engine)
    loaded, plan = planned(file, overrides, lookup)  # type: ignore[arg-type]
    if plan.engine == "native":
        raise InputError(
            "engine: found native, which runs in real time; expected uml or vm for a trial that is watched"
        )
    if "engine" not in loaded.raw and "kernel" not in loaded.raw:
        # What is refused now has something that only virtual machines have, such as an algorithm of the user's own.
        with contextlib.suppress(SpecError):
            return planned(file, [*overrides, "engine=uml"], lookup)  # type: ignore[arg-type]
    return loaded, plan


def _has_desktop() -> bool:
    """Return whether a browser can have a window; without one, Python would start a browser in the terminal."""
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
