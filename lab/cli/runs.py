# SPDX-License-Identifier: Apache-2.0
"""Commands that take a finished run: report, verify, export."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Jobs, RunFolder, engine_named, processors, say, write_report
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_FAILED, InputError

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.plan.plan import Plan
    from lab.run.runner import Observer
    from lab.store.run import Run


def report(run_dir: RunFolder) -> None:
    """Rebuild the report of a run from what is stored."""
    print(write_report(run_dir))


def verify(
    run_dir: RunFolder,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, metavar="N", help="How many, spread over the run [default: all].")
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Run trials of a finished run again and compare every byte of their records; of a native run, their means."""
    from lab.plan.plan import Plan
    from lab.run import verify as verification
    from lab.run.progress import observing
    from lab.store.run import open_run

    folder = open_run(run_dir)
    plan = Plan.from_json((folder.path / "plan.json").read_bytes())
    chosen = verification.chosen_trials(plan, folder, trials)
    plan = replace(plan, trials=tuple(chosen))
    engine = engine_named(folder.provenance.get("engine", "vm"), plan, {})
    if not engine.is_exact:
        _verify_means(folder, plan, engine)
        return
    with observing(plan) as observer:
        _locate_again(engine, folder, observer)
        differences = asyncio.run(verification.verify(folder, chosen, engine, observer, jobs=jobs or processors()))
    for difference in differences:
        print(difference)
    print(f"{len(chosen) - len(differences)}/{len(chosen)} byte-identical")
    if any(difference.error for difference in differences):
        raise typer.Exit(EXIT_FAILED)
    if differences:
        raise typer.Exit(EXIT_EXPECTATION_FAILED)


def _locate_again(engine: Engine, folder: Run, observer: Observer) -> None:
    """Locate the engine, and say what it has otherwise than the run's."""
    from lab.run.verify import changed_inputs

    engine.locate(observer.step)
    for line in changed_inputs(folder, engine):
        say(f"not the same machine: {line}")


def _verify_means(folder: Run, plan: Plan, engine: Engine) -> None:
    from lab.run.progress import observing
    from lab.run.repeat import repeat

    say("the run was made in real time and cannot come out the same to the byte: its trials run again, and the means")
    say("of both runs are compared (Welch's t-test, 99 %)")
    with observing(plan) as observer:
        _locate_again(engine, folder, observer)
        compared = asyncio.run(repeat(folder, plan, engine, observer))
    for one in compared:
        print(one)
    differing = sum(one.comparison.differs is True for one in compared)
    print(f"{len(compared) - differing}/{len(compared)} agree")
    if not compared:
        raise typer.Exit(EXIT_FAILED)
    if differing:
        raise typer.Exit(EXIT_EXPECTATION_FAILED)


def export(
    run_dir: RunFolder,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="tcpprobe: the old module's lines.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")] = Path("export"),
    trial: Annotated[
        list[str] | None,
        typer.Option("--trial", metavar="ID", help="Of this trial; may be given again [default: all]."),
    ] = None,
) -> None:
    """Write a run's traces in another tool's format, one file for every trial and flow; prints their names."""
    from lab.cli.export import export_tcpprobe

    if format_ != "tcpprobe":
        raise InputError(f"found format {format_!r}; expected 'tcpprobe'")
    for path in export_tcpprobe(run_dir, output, trial or ()):
        print(path)
