# SPDX-License-Identifier: Apache-2.0
"""The commands for finished runs: report, verify, export."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import (
    Jobs,
    Quiet,
    RunFolder,
    Verbose,
    completing,
    detail_of,
    engine_named,
    processors,
    say,
    say_what_counts,
    write_report,
)
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_FAILED, InputError

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.plan.plan import Plan
    from lab.run.progress import Detail
    from lab.run.runner import Observer
    from lab.store.run import Run


def report(run_dir: RunFolder) -> None:
    """Rebuild the report of a run from its stored results."""
    print(write_report(run_dir))


def verify(
    run_dir: RunFolder,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", min=1, metavar="N", help="Number of trials to run again, spread over the run [default: all]."
        ),
    ] = None,
    jobs: Jobs = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run trials of a finished run again and compare their records byte by byte; for a native run, compare means.

    Before that, the contents of the image, the kernel and the template are checked. A record in the cache of finished
    trials that turns out to be wrong is removed.
    """
    from lab.plan.plan import Plan
    from lab.run import verify as verification
    from lab.run.progress import observing
    from lab.store import integrity, places
    from lab.store.run import open_run
    from lab.store.trial_cache import TrialCache

    detail = detail_of(verbose, quiet)
    folder = open_run(run_dir)
    plan = Plan.from_json((folder.path / "plan.json").read_bytes())
    chosen = verification.chosen_trials(plan, folder, trials)
    plan = replace(plan, trials=tuple(chosen))
    engine = engine_named(folder.provenance.get("engine", "vm"), plan, {})
    if not engine.is_exact:
        _verify_means(folder, plan, engine, detail)
        return
    integrity.forget_checks()
    cache = TrialCache(places.trials())
    with observing(plan, detail) as observer:
        _locate_again(engine, folder, observer)
        say_what_counts(engine, detail)
        differences = asyncio.run(
            verification.verify(folder, chosen, engine, observer, jobs=jobs or processors(), cache=cache)
        )
    for difference in differences:
        print(difference)
    print(f"{len(chosen) - len(differences)}/{len(chosen)} byte-identical")
    if any(difference.error for difference in differences):
        raise typer.Exit(EXIT_FAILED)
    if differences:
        raise typer.Exit(EXIT_EXPECTATION_FAILED)


def _locate_again(engine: Engine, folder: Run, observer: Observer) -> None:
    """Locate the engine, and print how it differs from the engine of the run."""
    from lab.run.verify import changed_inputs

    engine.locate(observer.step)
    for line in changed_inputs(folder, engine):
        say(f"this machine differs from that of the run: {line}")


def _verify_means(folder: Run, plan: Plan, engine: Engine, detail: Detail) -> None:
    from lab.run.progress import Detail, observing
    from lab.run.repeat import repeat

    if detail is not Detail.QUIET:
        say("this run was made in real time, so its records cannot be reproduced byte by byte; its trials run again,")
        say("and the means of both runs are compared (Welch's t-test at the confidence level of 99 %)")
    with observing(plan, detail) as observer:
        _locate_again(engine, folder, observer)
        say_what_counts(engine, detail)
        compared = asyncio.run(repeat(folder, plan, engine, observer))
    for item in compared:
        print(item)
    differing = sum(item.comparison.differs is True for item in compared)
    print(f"{len(compared) - differing}/{len(compared)} agree")
    if not compared:
        raise typer.Exit(EXIT_FAILED)
    if differing:
        raise typer.Exit(EXIT_EXPECTATION_FAILED)


def export(
    run_dir: RunFolder,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=completing("tcpprobe"),
            help="tcpprobe: the text format of the kernel's former tcpprobe module.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder in which the files are written.")
    ] = Path("export"),
    trial: Annotated[
        list[str] | None,
        typer.Option("--trial", metavar="ID", help="Export only this trial; may be repeated [default: all trials]."),
    ] = None,
) -> None:
    """Export what a run recorded in the format of another tool: one file for each trial and flow; prints the paths."""
    from lab.cli.export import export_tcpprobe

    if format_ != "tcpprobe":
        raise InputError(f"--format: found {format_!r}; expected 'tcpprobe'")
    for path in export_tcpprobe(run_dir, output, trial or ()):
        print(path)
