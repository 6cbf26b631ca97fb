# SPDX-License-Identifier: Apache-2.0
"""The command `lab run`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import (
    EngineName,
    ExperimentFile,
    Jobs,
    Overrides,
    Quiet,
    Verbose,
    all_overrides,
    command_line,
    completing,
    detail_of,
    engine_named,
    planned,
    processors,
    remove_leftovers_of_cache,
    say,
    say_what_counts,
    write_report,
)
from lab.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.plan.plan import Plan
    from lab.run.runner import Outcome, Runner
    from lab.store.run import Run


def run(
    file: ExperimentFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder in which runs are stored.")
    ] = Path("results"),
    jobs: Jobs = None,
    set_: Overrides = None,
    engine_: EngineName = None,
    confirm: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="ENGINE",
            autocompletion=completing("vm"),
            help="vm: after a run with the engine uml, also run some of its cells in virtual machines, and compare the "
            "means.",
        ),
    ] = None,
    allow_invalid: Annotated[
        bool,
        typer.Option("--allow-invalid", help="Exit with 0 even if trials are invalid; expectations must be met."),
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run all trials, even those whose results are in the cache.")
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run an experiment and write its report.  The last line of the output is the folder of the run."""
    from lab.api.known import image_lookup
    from lab.cli.confirm import confirm_run, confirming_plan
    from lab.plan.description import notes
    from lab.run.progress import observing
    from lab.run.runner import Runner
    from lab.store import places
    from lab.store.run import create_run
    from lab.store.trial_cache import TrialCache

    detail = detail_of(verbose, quiet)
    overrides = all_overrides(set_, engine_)
    loaded, plan = planned(file, overrides, image_lookup([]))
    confirming = confirming_plan(file, set_, plan, confirm) if confirm is not None else None
    engine = engine_named(plan.engine, plan, loaded.packages)
    at_a_time, cache = jobs or processors(), TrialCache(places.trials())
    with observing(plan, detail) as observer:
        remove_leftovers_of_cache(observer.step)
        engine.locate(observer.step)
        say_what_counts(engine, detail)
        folder = create_run(output, plan.name, loaded.text, plan.document(), loaded.files)
        runner = Runner(engine, observer, plan, folder, jobs=at_a_time, cache=cache, read_cache=not no_cache)
        about = {"command": command_line(), "overrides": overrides, "notes": notes(plan)}
        outcome = _carry_out(runner, plan, about)
    if outcome is None:
        _report_unfinished(runner)
        raise KeyboardInterrupt
    confirmed = EXIT_OK
    if confirming is not None:
        confirmed = confirm_run(folder, confirming, jobs=at_a_time, cache=cache, detail=detail)
    write_report(folder.path, quiet=quiet)
    raise typer.Exit(max(confirmed, _outcome(folder, plan, outcome, allow_invalid=allow_invalid, quiet=quiet)))


def _outcome(folder: Run, plan: Plan, outcome: Outcome, *, allow_invalid: bool, quiet: bool) -> int:
    """Print how the run ended, with its folder as the last line, and return the exit code."""
    from lab.cli.answer import show_answer
    from lab.cli.expectations import report_expectations
    from lab.cli.verdict import run_verdict

    for trial_id, error in outcome.failures.items():
        say(f"lab: trial {trial_id} failed: {error}")
    verdict = run_verdict(folder)
    if not quiet:
        show_answer(folder.report_dir)
        say(f"report: {folder.report_dir / 'index.html'}")
    expected = report_expectations(folder.report_dir, quiet=quiet)
    for line in verdict.lines:
        say(f"lab: {line}")
    if outcome.failures:
        say(f"lab: {len(outcome.failures)} of {len(plan.trials)} trials failed")
    print(folder.path)
    return EXIT_FAILED if outcome.failures else max(expected, verdict.exit_code(allow_invalid=allow_invalid))


def _carry_out(runner: Runner, plan: Plan, about: Mapping[str, object]) -> Outcome | None:
    """Run all trials; if the user interrupts this, say how many are kept and what happens to them, and return None."""
    try:
        return asyncio.run(runner.run(dict(about)))
    except KeyboardInterrupt:
        kept = f"interrupted; {runner.finished} of {len(plan.trials)} trials are finished and kept"
        if runner.continues:
            say(f"{kept}; the same command continues with the others")
        else:
            say(f"{kept} in {runner.folder}; the same command runs all of them again")
        return None


def _report_unfinished(runner: Runner) -> None:
    """Write the report of an interrupted run, if it has finished trials; a second interrupt ends that, too."""
    if runner.finished:
        say("Ctrl-C again stops the report of the finished trials, too")
        write_report(runner.folder)
        say(f"report: {runner.folder / 'report' / 'index.html'}")
