# SPDX-License-Identifier: Apache-2.0
"""The commands for experiment files besides `lab run`: check, new, schema, shell."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import (
    BundleOption,
    EngineName,
    ExperimentFile,
    Jobs,
    Overrides,
    all_overrides,
    chosen_bundles,
    planned,
    processors,
    say,
    write_new,
)
from lab.errors import InputError

if TYPE_CHECKING:
    from lab.plan.plan import Plan, Trial


def check(
    file: ExperimentFile,
    set_: Overrides = None,
    engine_: EngineName = None,
    jobs: Jobs = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Also draw the topology, as an SVG file.")
    ] = None,
) -> None:
    """Check an experiment and show what it expands to, without running it."""
    from lab.api.known import image_lookup
    from lab.experiment.check.known import unknown_names
    from lab.plan.description import describe
    from lab.plan.preview import preview

    asked: list[str] = []
    loaded, plan = planned(file, all_overrides(set_, engine_), image_lookup(asked))
    print(describe(plan))
    for number, line in enumerate(_expected(plan)):
        print(f"  {'expects' if number == 0 else '':<8} {line}")
    print(preview(plan, jobs or processors()))
    unchecked = unknown_names(cell.experiment for cell in loaded.checked.cells) if asked else []
    if unchecked:
        say(
            f"not checked: whether the kernel and tc have {', '.join(unchecked)}; the guest image for {asked[0]} that "
            f"knows is not built yet (`lab bundle build --kernel {asked[0]}`)"
        )
    if svg is not None:
        from lab.report.figures.topology import save_topology

        try:
            save_topology([trial.job for trial in plan.trials if trial.repetition == 1], svg)
        except OSError as exc:
            raise InputError(f"{svg}: cannot be written: {exc.strerror}") from exc
        say(f"the topology is drawn in {svg}")


def _expected(plan: Plan) -> list[str]:
    """Return what the expectations of a plan mean, a line for each."""
    if not plan.expect:
        return []  # Without expectations, the document of a large plan need not be made.
    from lab.evaluation.expectations.preview import understood

    return understood(plan.document())


def new(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The file to write, such as my_first.yaml."),
    ] = None,
    cc: Annotated[
        Path | None,
        typer.Option(
            "--cc",
            metavar="SOURCE",
            help="Also write a congestion control of your own to this file, such as my_cc.bpf.c, and an experiment "
            "that compares it with CUBIC.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--starter",
            metavar="NAME",
            help="What the congestion control of --cc does: fixed (its window never changes), reno, delay (like "
            "Vegas), rate (paced, and measures rates), or cubic.  [default: reno]",
        ),
    ] = None,
) -> None:
    """Write a commented experiment file as a starting point, or with --cc your own congestion control and one."""
    from lab.experiment.schema.starter import starter

    if cc is not None:
        file = _new_algorithm(cc, file, like or "reno")
    elif like is not None:
        raise InputError("--starter: found no --cc; expected the file of the congestion control, such as my_cc.bpf.c")
    elif file is None:
        raise InputError("found no file to write; expected a name, such as `lab new my_first.yaml`")
    else:
        write_new(file, starter(file.stem))
    quoted = shlex.quote(str(file))
    say(f"next steps: `lab check {quoted}`, then `lab run {quoted}`")
    print(file)


def _new_algorithm(source: Path, file: Path | None, starter: str) -> Path:
    """Write a congestion control to *source* and an experiment with it to *file*; return the path of the latter."""
    from lab.cc.starter import algorithm_starter, name_of
    from lab.experiment.schema.starter import own_algorithm_starter

    name = name_of(source)
    file = source.with_name(f"{name}.yaml") if file is None else file
    try:
        relative = source.resolve().relative_to(file.parent.resolve())
    except (ValueError, OSError):
        raise InputError(f"found {source} and {file}; expected the source in the folder of the experiment") from None
    if file.exists():
        raise InputError(f"{file}: there is such a file already; expected another name")
    text = own_algorithm_starter(file.stem, str(relative))
    algorithm = algorithm_starter(name, starter)
    write_new(source, algorithm)
    write_new(file, text)
    print(source)
    return file


def schema() -> None:
    """Print the JSON Schema of experiment files."""
    from lab.experiment.schema.json_schema import json_schema

    print(json.dumps(json_schema(), indent=2))


TrialOption = Annotated[
    str | None,
    typer.Option(
        "--trial", metavar="ID", help="The trial that is meant: its id, or its number in the plan [default: 1]."
    ),
]


def shell(file: ExperimentFile, set_: Overrides = None, trial: TrialOption = None, bundle: BundleOption = None) -> None:
    """Start the topology of an experiment in a virtual machine, in real time, with Mininet's command line."""
    from lab.bundle.choose import check_kernels, using
    from lab.engine.vm.engine import VmEngine
    from lab.engine.vm.shell import run_shell
    from lab.run.modules import with_modules_in

    # A shell is always in a virtual machine, whichever engine the experiment asks for.
    bundles = chosen_bundles(bundle)
    with using(bundles):
        loaded, plan = planned(file, all_overrides(set_, "vm"))
        chosen = chosen_trial(plan, trial)
        check_kernels(bundles, [chosen.job["kernel"]], "vm")
        engine = VmEngine([chosen.job["kernel"]], packages=loaded.packages)
        engine.locate(say)
    job = with_modules_in(chosen.job, engine, say)
    say(f"booting a virtual machine with the topology of trial {chosen.id}; the command `exit` ends it")
    run_shell(*engine.machine(chosen.job["kernel"]), job, say)


def chosen_trial(plan: Plan, wanted: str | None) -> Trial:
    """Return the trial with the id or number (counted from 1) that the user wants; without either, the first trial."""
    if wanted is None:
        return plan.trials[0]
    if wanted.isdigit() and 1 <= int(wanted) <= len(plan.trials):
        return plan.trials[int(wanted) - 1]
    found = next((trial for trial in plan.trials if trial.id == wanted), None)
    if found is None:
        known = ", ".join(trial.id for trial in plan.trials[:6])
        more = f", … ({len(plan.trials)} in total)" if len(plan.trials) > 6 else ""
        raise InputError(f"--trial: found {wanted!r}; expected 1 to {len(plan.trials)}, or one of {known}{more}")
    return found
