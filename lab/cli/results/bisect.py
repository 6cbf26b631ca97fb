# SPDX-License-Identifier: Apache-2.0
"""The command `lab bisect`."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.common import (
    ExperimentFile,
    Jobs,
    Overrides,
    Quiet,
    Verbose,
    all_overrides,
    command_line,
    detail_of,
    engine_named,
    planned,
    processors,
    say,
    write_report,
)
from lab.cli.results.compare import TolerancesOption, parsed_tolerances
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_OK, EngineError, GuestError, ImageError, InputError

if TYPE_CHECKING:
    from lab.bisect.judges import Judge
    from lab.bisect.search import Verdict
    from lab.bisect.state import State, Step
    from lab.compare.tolerances import Tolerances
    from lab.run.progress import Detail
    from lab.store.run import Run

_KernelOption = Annotated[
    str,
    typer.Option(
        metavar="KERNEL",
        help="A kernel of Debian, such as debian-12 or debian-13=6.12.115-1, or the path of a package (*.deb).",
    ),
]
_Kernels = Annotated[
    list[str] | None,
    typer.Option(
        "--kernels",
        metavar="KERNEL",
        help="A kernel between the good and the bad one; may be repeated, from the good one to the bad one [default: "
        "all versions that Debian's archive offers].",
    ),
]
_Condition = Annotated[
    str | None,
    typer.Option(
        "--condition",
        metavar="EXPECTATION",
        help="What holds with a good kernel, such as 'goodput(cc=bbr) >= 0.8 * link.rate' [default: no metric is worse "
        "than with the good kernel].",
    ),
]
_AnyChange = Annotated[
    bool,
    typer.Option(
        "--any-change", help="Without --condition: a metric that is better, or just another one, is bad, too."
    ),
]
_BisectFolder = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="DIR", help="The folder of the bisection [default: bisect/NAME]."),
]


@dataclass(frozen=True)
class _Search:
    """Everything that a step needs."""

    file: Path
    overrides: list[str]
    jobs: int
    detail: Detail
    judge: Judge
    state: State
    tolerances: Tolerances

    def try_kernel(self, kernel: str) -> Step:
        """Return the step in which *kernel* was tried, or try it now."""
        found = self.state.step_of(kernel)
        if found is not None:
            say(f"{_shown(kernel)}: {found['verdict']}, as found before")
            return found
        say(f"{_shown(kernel)}: running the experiment")
        place, verdict, why = self._tried(kernel)
        step: Step = {"kernel": kernel, "verdict": verdict, "why": why, "run": place}
        self.state.add(step)
        say(f"{_shown(kernel)}: {verdict}: {why}")
        return step

    def _tried(self, kernel: str) -> tuple[str, Verdict, str]:
        """Return the folder of the run with *kernel*, the verdict, and why.

        A kernel of which no image can be built, or which cannot run trials, is skipped: others may do.
        """
        try:
            run = _run(self.file, [*self.overrides, f"kernel={json.dumps(kernel)}"], self.state.folder, self)
        except (ImageError, EngineError, InputError) as error:
            return "", "skipped", str(error)
        place = str(run.path.relative_to(self.state.folder.resolve()))
        good = self.state.step_of(self.state.kernels[0])
        try:
            _check_trials(run)
        except GuestError as error:
            return place, "skipped", str(error)
        judgement = self.judge.judge(run, run if good is None else self.run_of(good))
        return place, judgement.verdict, judgement.why

    def run_of(self, step: Step) -> Run:
        """Return the run of a step."""
        from lab.store.run import open_run

        return open_run(self.state.folder / step["run"])


def bisect(
    file: ExperimentFile,
    good: _KernelOption,
    bad: _KernelOption,
    kernels: _Kernels = None,
    condition: _Condition = None,
    tolerance: TolerancesOption = None,
    any_change: _AnyChange = False,
    output: _BisectFolder = None,
    jobs: Jobs = None,
    set_: Overrides = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Find the first kernel with which an experiment's results are bad, in virtual machines.

    The same command continues after an interruption.  The last line of the output is the first bad kernel.
    """
    from lab.bisect.judges import ComparisonJudge, ConditionJudge
    from lab.bisect.state import State, read_state
    from lab.report.tables.columns import COLUMNS

    detail = detail_of(verbose, quiet)
    if condition is not None and (tolerance or any_change):
        raise InputError("--condition: found it with --tolerance or --any-change; expected one of them")
    ends = _named(good, "--good"), _named(bad, "--bad")
    between = [_named(kernel, "--kernels") for kernel in kernels or ()]
    overrides = all_overrides(set_, "vm")
    if condition is not None:
        overrides.append(f"expect={json.dumps([condition], ensure_ascii=False)}")
    loaded, plan = planned(file, overrides)
    if any(axis.path == "kernel" for axis in plan.axes):
        raise InputError(f"{file}: found kernel in the matrix; expected an experiment without it, as each step sets it")
    folder = output if output is not None else Path("bisect") / plan.name
    asked: dict[str, Any] = {
        "experiment": hashlib.sha256(loaded.text).hexdigest(),
        "overrides": overrides,
        "good kernel": ends[0],
        "bad kernel": ends[1],
        "list of kernels": between,
        "tolerance": [*(tolerance or ()), *(["any change"] if any_change else [])],
    }
    tolerances = parsed_tolerances(tolerance, {column.key for column in COLUMNS}, {})
    judge = ConditionJudge() if condition is not None else ComparisonJudge(tolerances, any_change=any_change)
    state = read_state(folder, asked)
    if state is None:
        names = [ends[0], *between, ends[1]] if between else _versions_between(*ends)
        folder.mkdir(parents=True, exist_ok=True)
        state = State(folder, asked, names, [])
        state.write()
    say(f"{len(state.kernels)} kernels, from {_shown(state.kernels[0])} to {_shown(state.kernels[-1])}")
    raise typer.Exit(_search(_Search(file, overrides, jobs or processors(), detail, judge, state, tolerances)))


def _shown(kernel: str) -> str:
    """Return what messages call a kernel: of a package, the name of its file."""
    return Path(kernel).name


def _named(kernel: str, option: str) -> str:
    """Return a kernel as experiments name it: paths of packages, which are relative to this folder, become absolute.

    Raises:
        InputError: This is no kernel for virtual machines.
    """
    from lab.experiment.schema.kernel import EXPECTED, SUFFIX, is_version
    from lab.job import kernels

    if kernel in kernels.DEBIAN or is_version(kernel):
        return kernel
    if not kernel.endswith(SUFFIX):
        raise InputError(f"{option}: found {kernel!r}; {EXPECTED.replace(', '.join(kernels.UML) + ', ', '')}")
    if not Path(kernel).is_file():
        raise InputError(f"{option}: {kernel}: there is no such file")
    return str(Path(kernel).absolute())


def _versions_between(good: str, bad: str) -> list[str]:
    """Return all versions that Debian's archive offers, or the cache keeps, from *good* to *bad*.

    Raises:
        InputError: One of them is no kernel of Debian, or neither the archive nor the cache has it.
    """
    from lab.engine.debian.range import kernels_between
    from lab.experiment.schema.kernel import SUFFIX

    for option, kernel in (("--good", good), ("--bad", bad)):
        if kernel.endswith(SUFFIX):
            raise InputError(
                f"{option}: found a package; expected --kernels with all kernels between the two, in order"
            )
    return [kernel.full_name for kernel in kernels_between(good, bad, say)]


def _search(search: _Search) -> int:
    """Try kernels until the first bad one is found; return the exit code."""
    from lab.bisect.search import next_place
    from lab.bisect.state import FILE

    state = search.state
    for place, wanted in ((0, "good"), (len(state.kernels) - 1, "bad")):
        step = search.try_kernel(state.kernels[place])
        if step["verdict"] != wanted:
            say(f"lab: {_shown(step['kernel'])} is {step['verdict']}, not {wanted}: {step['why']}")
            return EXIT_EXPECTATION_FAILED
    while (place := next_place(found := state.remaining())) is not None:  # type: ignore[assignment]
        number = len(found.untried)
        say(f"{number} kernel{'' if number == 1 else 's'} left, at most {found.steps_left} more to try")
        search.try_kernel(state.kernels[place])
    last_good, first_bad = state.kernels[found.last_good], state.kernels[found.first_bad]
    _show(search, last_good, first_bad)
    if not found.is_exact:
        skipped = ", ".join(state.kernels[found.last_good + 1 : found.first_bad])
        say(f"lab: the first bad kernel is one of {skipped}, which cannot be judged, or {first_bad}")
        say(f"lab: a step that is removed from {state.folder / FILE} is tried again")
    else:
        say(f"{_shown(last_good)} is the last good kernel, and this is the first bad one:")
    print(first_bad)
    return EXIT_OK if found.is_exact else EXIT_EXPECTATION_FAILED


def _show(search: _Search, last_good: str, first_bad: str) -> None:
    """Write the comparison of the two kernels, with their figures side by side, into the folder of the bisection."""
    from lab.compare.cells import run_cells
    from lab.compare.differences import differences
    from lab.compare.page import as_html
    from lab.store.files import write_file

    cells = [
        replace(run_cells(search.run_of(step).path), title=_shown(kernel))
        for kernel in (last_good, first_bad)
        if (step := search.state.step_of(kernel)) is not None
    ]
    compared = differences(cells[0], cells[1], search.tolerances, everything=True)
    page = search.state.folder / "comparison.html"
    write_file(page, as_html(cells, [compared], everything=False).encode())
    say(f"comparison: {page}")


def _check_trials(run: Run) -> None:
    """Check that no trial has failed or is invalid.

    Raises:
        GuestError: Trials have, and the message says how many.
    """
    from lab.compare.cells import run_cells

    trials = [trial for of_cell in run_cells(run.path).cells().values() for trial in of_cell.values()]
    bad = [trial.verdict for trial in trials if trial.verdict != "valid"]
    if bad:
        told = " and ".join(f"{bad.count(verdict)} {verdict}" for verdict in dict.fromkeys(bad))
        raise GuestError(f"of {len(trials)} trials, {told}")


def _run(file: Path, overrides: Sequence[str], folder: Path, search: _Search) -> Run:
    """Run the experiment, write its report, and return the run."""
    from lab.api.known import image_lookup
    from lab.api.starting import runner_for
    from lab.plan.description import notes
    from lab.run.progress import observing

    loaded, plan = planned(file, overrides, image_lookup([]))
    engine = engine_named(plan.engine, plan, loaded.packages)
    with observing(plan, search.detail) as observer:
        runner = runner_for(engine, loaded, plan, folder.resolve() / "runs", observer, jobs=search.jobs)
        about = {"command": command_line(), "overrides": list(overrides), "notes": notes(plan)}
        run = asyncio.run(runner.run(about)).run
    write_report(run.path, quiet=True)
    return run
