# SPDX-License-Identifier: Apache-2.0
"""The command `lab expect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import Quiet, RunFolder
from lab.errors import InputError

if TYPE_CHECKING:
    from lab.store.run import Run


def expect(
    run_dir: RunFolder,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A YAML file with `expect:`, such as a newer version of the experiment [default: what the run's own "
            "experiment expects].",
        ),
    ] = None,
    that: Annotated[
        list[str] | None,
        typer.Option("--that", metavar="CONDITION", help="A condition to be checked; may be repeated."),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON, as in report/expectations.json.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Check expectations in a finished run, and say what was observed.  Nothing is run or written."""
    from lab.cli.running.expectations import show_expectations
    from lab.evaluation.expectations.document import document
    from lab.evaluation.expectations.judge import entries_of, judged
    from lab.evaluation.trial import compared_with_alone, evaluate_trial
    from lab.store.run import open_run

    if file is not None and that:
        raise InputError("found a file and --that; expected one of them")
    run = open_run(run_dir)
    evaluated = compared_with_alone([evaluate_trial(trial) for trial in run.trials()])
    written = _written(run, evaluated, file, that)
    if not written:
        raise InputError(f"{run_dir}: its experiment expects nothing; name a file with 'expect:', or use --that")
    entries = entries_of({"expect": written}, str(file or run.path / "plan.json"))
    found = document(judged(run.plan, evaluated, entries))
    page = run.report_dir / "index.html"
    # The report shows what the run's own experiment expects, and nothing of other conditions.
    is_shown = page.exists() and file is None and not that
    code = show_expectations(found, page if is_shown else None, quiet=quiet)
    if json_:
        import json

        print(json.dumps(found, indent=1, ensure_ascii=False))
    raise typer.Exit(code)


def _written(run: Run, evaluated: list[Any], file: Path | None, that: list[str] | None) -> list[Any]:
    """Return the expectations to be checked, as they are written."""
    from lab.evaluation.expectations.cells import cells_of
    from lab.experiment.read.expect import checked_conditions, load_expectations

    if file is not None:
        return load_expectations(file, cells_of(run.plan, evaluated).setting())
    if that:
        return checked_conditions(that, cells_of(run.plan, evaluated).setting())
    stored: list[Any] = run.plan.get("expect", [])
    return stored
