# SPDX-License-Identifier: Apache-2.0
"""What the commands have in common: options, messages, and how a file becomes a plan and an engine."""

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
    typer.Option("--set", metavar="PATH=VALUE", help="Set a field, e.g. duration=5s; may be given more than once."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run, or its `latest` link.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Trials at a time [default: one per processor].")]


def planned(file: Path, overrides: Sequence[str] | None) -> tuple[LoadedExperiment, Plan]:
    from lab.experiment.read.load import load_experiment
    from lab.plan.plan import make_plan

    loaded = load_experiment(file, overrides or ())
    return loaded, make_plan(loaded.checked)


def engine_named(name: str, plan: Plan, packages: Mapping[str, Path]) -> Engine:
    if name == "vm":
        from lab.engine.vm.engine import VmEngine

        return VmEngine(plan.kernels, packages=packages)
    if name != "native":
        raise InputError(f"--engine: found {name!r}; expected vm or native")
    from lab.engine.native.engine import NativeEngine

    other = next((kernel for kernel in plan.kernels if kernel != kernels.DEFAULT), None)
    if other is not None:
        raise InputError(f"the native engine has this host's kernel only; the experiment asks for {other}")
    return NativeEngine([trial.job for trial in plan.trials])


def write_report(run_dir: Path) -> Path:
    from lab.report import build_report
    from lab.store import places

    return build_report(run_dir, places.figures())


def processors() -> int:
    return len(os.sched_getaffinity(0))


def command_line() -> str:
    return shlex.join(["lab", *sys.argv[1:]])


def say(line: str) -> None:
    print(line, file=sys.stderr)
