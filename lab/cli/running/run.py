# SPDX-License-Identifier: Apache-2.0
"""The command `lab run`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import (
    BundleOption,
    EngineName,
    ExperimentFile,
    Jobs,
    Overrides,
    Quiet,
    Verbose,
    all_overrides,
    chosen_bundles,
    command_line,
    completing,
    detail_of,
    engine_named,
    planned,
    processors,
    say,
    say_what_counts,
    write_report,
)
from lab.cli.results.compare import TolerancesOption, compare_with_baseline, tolerances_for
from lab.errors import EXIT_OK, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.compare.cells import RunCells
    from lab.compare.tolerances import Tolerances
    from lab.plan.plan import Plan
    from lab.run.runner import Outcome, Runner
    from lab.store.run import Run

_Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder in which runs are stored.")]
_Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm",
        metavar="ENGINE",
        autocompletion=completing("vm"),
        help="vm: after a run with the engine uml, also run some of its cells in virtual machines, and compare the "
        "means.",
    ),
]
_Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="Compare the run with this baseline, which `lab baseline` has written; exits with 1 if it is worse.",
    ),
]
_AllowInvalid = Annotated[
    bool,
    typer.Option(
        "--allow-invalid",
        help="Exit with 0 even if trials are invalid; expectations must be met all the same.",
    ),
]
_NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Run all trials, even those whose results are in the cache.")
]


def run(
    file: ExperimentFile,
    output: _Output = Path("results"),
    jobs: Jobs = None,
    set_: Overrides = None,
    engine_: EngineName = None,
    bundle: BundleOption = None,
    confirm: _Confirm = None,
    baseline: _Baseline = None,
    tolerance: TolerancesOption = None,
    allow_invalid: _AllowInvalid = False,
    no_cache: _NoCache = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run an experiment and write its report.  The last line of the output is the folder of the run."""
    from lab.api.known import image_lookup
    from lab.api.starting import runner_for
    from lab.bundle.choose import check_kernels, using
    from lab.cli.running.confirm import confirm_run, confirming_plan
    from lab.plan.description import notes
    from lab.run.progress import observing

    detail = detail_of(verbose, quiet)
    reference = _reference(baseline, tolerance)
    overrides = all_overrides(set_, engine_)
    bundles = chosen_bundles(bundle)
    with using(bundles):
        loaded, plan = planned(file, overrides, image_lookup([]))
        check_kernels(bundles, plan.kernels, plan.engine)
        confirming = confirming_plan(file, set_, plan, confirm) if confirm is not None else None
        engine = engine_named(plan.engine, plan, loaded.packages)
        at_a_time = jobs or processors()
        with observing(plan, detail) as observer:
            runner = runner_for(engine, loaded, plan, output, observer, jobs=at_a_time, read_cache=not no_cache)
            say_what_counts(engine, detail)
            if engine.is_exact:
                observer.watch(runner.folder)
            outcome = _carry_out(runner, plan, {"overrides": overrides, "notes": notes(plan)})
        if outcome is None:
            _report_unfinished(runner)
            raise KeyboardInterrupt
        folder = outcome.run
        confirmed = EXIT_OK if confirming is None else confirm_run(folder, confirming, jobs=at_a_time, detail=detail)
    write_report(folder.path, quiet=quiet, will_be_compared=reference is not None)
    ended = _outcome(folder, plan, outcome, allow_invalid=allow_invalid, quiet=quiet)
    compared = EXIT_OK if reference is None else compare_with_baseline(folder, *reference, quiet=quiet)
    print(folder.path)
    raise typer.Exit(max(confirmed, compared, ended))


def _reference(baseline: Path | None, tolerance: list[str] | None) -> tuple[RunCells, Tolerances] | None:
    """Return the baseline, which is read before trials run, and the tolerances of the comparison with it.

    Raises:
        InputError: It cannot be used, or there are tolerances without a baseline.
    """
    if baseline is None:
        if tolerance:
            raise InputError("--tolerance: found it without --baseline; expected both, or neither")
        return None
    from lab.compare.baseline import read_baseline

    reference = read_baseline(baseline)
    return reference, tolerances_for(reference, [reference], tolerance)


def _outcome(folder: Run, plan: Plan, outcome: Outcome, *, allow_invalid: bool, quiet: bool) -> int:
    """Print how the run ended, and return the exit code."""
    from lab.cli.running.answer import show_answer
    from lab.cli.running.expectations import report_expectations
    from lab.cli.running.verdict import run_verdict

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
    if outcome.failures:
        # An algorithm of the user that the kernel refuses is a mistake of the user, unless other trials failed, too.
        return max(error.exit_code for error in outcome.failures.values())
    return max(expected, verdict.exit_code(allow_invalid=allow_invalid))


def _carry_out(runner: Runner, plan: Plan, about: Mapping[str, object]) -> Outcome | None:
    """Run all trials; if the user interrupts this, say how many are kept and what happens to them, and return None."""
    try:
        return asyncio.run(runner.run({"command": command_line(), **about}))
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
