# SPDX-License-Identifier: Apache-2.0
"""Make the plan of an experiment, and the engine that runs it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import InputError

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.experiment.check.known import Lookup
    from lab.experiment.read.load import LoadedExperiment
    from lab.plan.plan import Plan

ENGINES = ("vm", "uml", "native")


def all_overrides(overrides: Sequence[str] | None, engine: str | None) -> list[str]:
    """Return the overrides of an experiment, of which the choice of an engine is one."""
    return [*(overrides or ()), *([] if engine is None else [f"engine={engine}"])]


def planned(file: Path, overrides: Sequence[str] | None, lookup: Lookup | None = None) -> tuple[LoadedExperiment, Plan]:
    """Load an experiment file with overrides, and make its plan.

    Raises:
        SpecError: The experiment has problems.
    """
    from lab.experiment.read.load import load_experiment

    return plan_of(lambda: load_experiment(file, overrides or (), lookup))


def plan_of(load: Callable[[], LoadedExperiment]) -> tuple[LoadedExperiment, Plan]:
    """Return the experiment that *load* returns, with its plan; raises what *load* raises."""
    from lab.plan.plan import make_plan

    # A plan consists of up to a million objects that all stay.  By default, Python looks through all of them for
    # garbage again and again while they are made.
    thresholds = gc.get_threshold()
    gc.set_threshold(200_000, *thresholds[1:])
    try:
        loaded = load()
        return loaded, make_plan(loaded.checked)
    finally:
        gc.set_threshold(*thresholds)


def engine_named(name: str, plan: Plan, packages: Mapping[str, Path]) -> Engine:
    """Return the engine ``vm``, ``uml`` or ``native`` for a plan.

    ``packages`` maps the names of kernels to the files of their packages.

    Raises:
        InputError: There is no such engine.
    """
    if name == "vm":
        from lab.engine.vm.engine import VmEngine

        return VmEngine(plan.kernels, packages=packages)
    if name == "uml":
        from lab.engine.uml.engine import UmlEngine

        return UmlEngine(plan.kernels)
    if name == "native":
        from lab.engine.native.engine import NativeEngine

        return NativeEngine([trial.job for trial in plan.trials])
    raise InputError(f"found the engine {name!r}; expected {', '.join(ENGINES)}")
