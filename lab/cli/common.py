# SPDX-License-Identifier: Apache-2.0
"""Code that several commands share: options, messages, and functions that make plans, engines and reports."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.errors import InputError
from lab.job import kernels

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.experiment.read.load import LoadedExperiment
    from lab.plan.plan import Plan

ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", help="The experiment, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Set a field of the experiment, e.g. duration=5s; may be repeated."
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run, or an experiment's `latest` link.")
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Number of trials that run in parallel [default: one per processor]."),
]


def planned(file: Path, overrides: Sequence[str] | None) -> tuple[LoadedExperiment, Plan]:
    """Load an experiment file with overrides, and make its plan."""
    from lab.experiment.read.load import load_experiment
    from lab.plan.plan import make_plan

    loaded = load_experiment(file, overrides or ())
    return loaded, make_plan(loaded.checked)


def engine_named(name: str, plan: Plan, packages: Mapping[str, Path]) -> Engine:
    """Return the engine ``vm`` or ``native`` for a plan; ``packages`` maps the names of kernels to their packages.

    Raises:
        InputError: There is no such engine, or it cannot run the kernels of the plan.
    """
    if name == "vm":
        from lab.engine.vm.engine import VmEngine

        return VmEngine(plan.kernels, packages=packages)
    if name != "native":
        raise InputError(f"--engine: found {name!r}; expected vm or native")
    from lab.engine.native.engine import NativeEngine

    other = next((kernel for kernel in plan.kernels if kernel != kernels.DEFAULT), None)
    if other is not None:
        raise InputError(f"the native engine runs only on this host's kernel, but the experiment asks for {other}")
    return NativeEngine([trial.job for trial in plan.trials])


def write_report(run_dir: Path) -> Path:
    """Write the report of a run and return its path."""
    from lab.report import build_report
    from lab.store import places

    return build_report(run_dir, places.figures())


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def command_line() -> str:
    """Return the command line of this process, quoted for a shell."""
    return shlex.join(["lab", *sys.argv[1:]])


def say(line: str) -> None:
    """Print a message on standard error."""
    print(line, file=sys.stderr)
