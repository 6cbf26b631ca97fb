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
    remove_leftovers_of_cache,
    say,
    say_what_counts,
    write_report,
)
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_FAILED, EXIT_OK, InputError
from lab.export import FORMATS

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.engine.bundles import Bundle
    from lab.plan.plan import Plan
    from lab.run.progress import Detail
    from lab.run.runner import Observer
    from lab.run.stored import Inspection
    from lab.run.verify import Difference
    from lab.store.run import Run


def report(run_dir: RunFolder) -> None:
    """Rebuild the report of a run from its stored results, and check its expectations again."""
    from lab.cli.running.expectations import report_expectations
    from lab.store.run import open_run

    for message in open_run(run_dir).remove_leftovers():
        say(message)
    remove_leftovers_of_cache(say)
    page = write_report(run_dir, quiet=True)
    code = report_expectations(page.parent)
    print(page)
    raise typer.Exit(code)


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
    """Run trials of a finished run again, and compare all stored files with them; for a native run, compare means.

    Before that, the contents of the image, the kernel and the template are checked. A record in the cache of finished
    trials that turns out to be wrong is removed.
    """
    raise typer.Exit(verified(run_dir, trials, jobs or processors(), detail_of(verbose, quiet)))


def verified(run_dir: Path, trials: int | None, jobs: int, detail: Detail) -> int:
    """Run *trials* trials of a run again, print what differs and how many are equal, and return the exit code."""
    from lab.bundle.choose import using
    from lab.store.run import open_run

    folder = open_run(run_dir)
    with using(_bundles_of(folder)):
        return _verified(folder, trials, jobs, detail)


def _bundles_of(folder: Run) -> list[Bundle]:
    """Return the bundles that a run was made with; none, and say so, if they are not all in the cache."""
    from lab.bundle.choose import bundles_of_run, usable

    bundles = bundles_of_run(folder.provenance)
    missing = [bundle for bundle in bundles if not usable(bundle)]
    for bundle in missing:
        say(
            f"the bundle {bundle.digest[:16]} with {bundle.kernel}, with which the run was made, is not in the cache, "
            "so the default one is used; `lab bundle import FILE` takes it from a file that `lab bundle export` wrote "
            "on the machine of the run"
        )
    return [] if missing else bundles


def _verified(folder: Run, trials: int | None, jobs: int, detail: Detail) -> int:
    from lab.plan.plan import Plan
    from lab.run import verify as verification
    from lab.run.stored import inspect

    plan = Plan.from_json((folder.path / "plan.json").read_bytes())
    found = inspect(folder, plan)
    chosen = verification.chosen_trials(plan, found, trials)
    again: dict[str, Difference] = {}
    verdicts: list[str] = []
    code = EXIT_OK
    if chosen:
        part = replace(plan, trials=tuple(chosen))
        engine = engine_named(folder.provenance.get("engine", plan.engine), part, {})
        if not engine.is_exact:
            verdicts, code = _verify_means(folder, part, engine, detail)
        else:
            again = _repeat(folder, plan, part, engine, found, detail, jobs)
    differences = verification.all_differences(folder, plan, found, again)
    if not chosen and not differences:
        raise InputError(f"{folder.path} has no finished trial")
    for line in (line for difference in differences for line in difference.lines()):
        print(line)
    changed = [difference.trial_id for difference in differences]
    if chosen and engine.is_exact:
        verdicts = [f"{sum(trial.id not in changed for trial in chosen)}/{len(chosen)} byte-identical"]
        changed = [name for name in changed if name not in {trial.id for trial in chosen}]
    if changed:
        verdicts.append(f"stored files have changed in {', '.join(changed[:4])}{' …' if len(changed) > 4 else ''}")
    print("; ".join(verdicts))
    if any(difference.error for difference in differences):
        code = EXIT_FAILED
    return max(code, EXIT_EXPECTATION_FAILED if differences else EXIT_OK)


def _repeat(
    folder: Run, plan: Plan, part: Plan, engine: Engine, found: Inspection, detail: Detail, jobs: int
) -> dict[str, Difference]:
    """Run the trials of *part*, which are some of *plan*, again; return how they differ, by the id of the trial."""
    from lab.run.progress import observing
    from lab.run.verify import repeated
    from lab.store import integrity, places
    from lab.store.trial_cache import TrialCache

    integrity.forget_checks()
    with observing(part, detail) as observer:
        remove_leftovers_of_cache(observer.step)
        _locate_again(engine, folder, observer)
        say_what_counts(engine, detail)
        cache = TrialCache(places.trials())
        return asyncio.run(repeated(folder, plan, part.trials, engine, observer, found, jobs=jobs, cache=cache))


def _locate_again(engine: Engine, folder: Run, observer: Observer) -> None:
    """Locate the engine, and print how it differs from the engine of the run."""
    from lab.run.verify import changed_inputs

    engine.locate(observer.step)
    for line in changed_inputs(folder, engine):
        say(f"this machine differs from that of the run: {line}")


def _verify_means(folder: Run, plan: Plan, engine: Engine, detail: Detail) -> tuple[list[str], int]:
    """Compare the means of the run with those of its trials run again; return the verdict and the exit code."""
    from lab.run.progress import Detail, observing
    from lab.run.repeat import repeat

    if detail is not Detail.QUIET:
        say("this run was made in real time, so its records cannot be reproduced byte by byte; its trials run again,")
        say("and the means of both runs are compared (Welch's t-tests, at a confidence level of 99 % for all together)")
    with observing(plan, detail) as observer:
        _locate_again(engine, folder, observer)
        say_what_counts(engine, detail)
        outcome, compared = asyncio.run(repeat(folder, plan, engine, observer))
    for item in compared:
        print(item)
    for trial_id, error in outcome.failures.items():
        say(f"lab: the repeated trial {trial_id} failed: {error}")
    agreeing = sum(item.differs is False for item in compared)
    unknown = sum(item.differs is None for item in compared)
    verdicts = [f"{agreeing}/{len(compared)} agree", *([f"{unknown} cannot be compared"] if unknown else [])]
    if outcome.failures or not compared:
        return verdicts, EXIT_FAILED
    return verdicts, EXIT_OK if agreeing == len(compared) else EXIT_EXPECTATION_FAILED


def export(
    run_dir: RunFolder,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=completing(*FORMATS),
            help="pcap: what the collector packets recorded, as pcapng; flent: data files of flent; csv: metrics and "
            "all tables; tcpprobe: the text format of the kernel's former tcpprobe module.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder in which the files are written.")
    ] = Path("export"),
    trial: Annotated[
        list[str] | None,
        typer.Option("--trial", metavar="ID", help="Export only this trial; may be repeated [default: all trials]."),
    ] = None,
    collector: Annotated[
        list[str] | None,
        typer.Option(
            "--collector",
            metavar="NAME",
            help="With --format csv, export only this collector's table; may be repeated [default: metrics and all "
            "tables].",
        ),
    ] = None,
) -> None:
    """Export what a run recorded in the format of another tool: a file for each trial or flow; prints the paths."""
    from lab.export.formats import export as exported
    from lab.store.folders import remove_leftovers
    from lab.store.run import open_run

    if format_ not in FORMATS:
        raise InputError(f"--format: found {format_!r}; expected one of {', '.join(FORMATS)}")
    if collector and format_ != "csv":
        raise InputError(f"--collector: found it with --format {format_}; expected it with --format csv only")
    for message in remove_leftovers(output):
        say(message)
    for path in exported(open_run(run_dir), format_, output, trial or (), collector or ()):
        print(path)


def list_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder in which runs are stored, or that of one experiment.")
    ] = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="Print a list of objects in JSON instead of a table.")] = False,
) -> None:
    """List stored runs, the oldest first: what they are, how they ended, and how many trials have which verdict."""
    from lab.api.summary import summaries
    from lab.cli.results.listing import json_text, table

    found = summaries(folder)
    print(json_text(found) if json else table(found))
