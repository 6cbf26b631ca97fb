# SPDX-License-Identifier: Apache-2.0
"""Compile the kernel modules of a plan, when it is known which kernels its trials run on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from lab.cc.compiler import CompileError
from lab.cc.module import ModuleTools, compile_module, unpacked_source
from lab.cc.packed import packed, unpacked
from lab.engine.base import Engine, Step
from lab.engine.debian.builds import found_or_built
from lab.engine.image.build import Image
from lab.engine.modules.headers import Headers, build_headers, common_recipe, find_headers
from lab.engine.vm.engine import VmEngine
from lab.errors import InputError
from lab.job.protocol import Algorithm, Job
from lab.plan.plan import Plan

__all__ = ["has_modules", "prepare_headers", "recipes_of", "with_modules", "with_modules_in"]

_SOURCE = "module source"


def has_modules(jobs: Iterable[Job]) -> bool:
    """Return whether one of *jobs* brings a kernel module, compiled or not."""
    return any("form" in algorithm for job in jobs for algorithm in job.get("algorithms", ()))


def with_modules(plan: Plan, engine: Engine, step: Step) -> Plan:
    """Return the plan with each module compiled for the kernel of its trial; *engine* has been located.

    Raises:
        InputError: A module does not compile, or there are no modules for this kernel.
        MachineryError: This machine cannot compile modules.
    """
    if not any(_has_source(trial.job) for trial in plan.trials):
        return plan
    known: dict[tuple[str, str, str], Algorithm] = {}
    trials = [replace(trial, job=_with_modules(trial.job, engine, step, known)) for trial in plan.trials]
    return replace(plan, trials=tuple(trials))


def with_modules_in(job: Job, engine: Engine, step: Step) -> Job:
    """Return *job* with its modules compiled; raises what :func:`with_modules` raises."""
    return _with_modules(job, engine, step, {})


def prepare_headers(plan: Plan, engine: Engine, step: Step) -> None:
    """Get what the modules of a plan are compiled with; *engine* has been located.

    Raises:
        MachineryError: It cannot be had.
    """
    if has_modules(trial.job for trial in plan.trials) and isinstance(engine, VmEngine):
        for kernel in plan.kernels:
            _headers(engine.machine(kernel)[1], step)


def recipes_of(plan: Plan) -> dict[str, str]:
    """Return the digest of the recipe of what the modules of a plan are compiled with; empty if it has none."""
    return {"kernel headers": common_recipe()} if has_modules(trial.job for trial in plan.trials) else {}


def _has_source(job: Job) -> bool:
    return any(one.get("form") == _SOURCE for one in job.get("algorithms", ()))


def _with_modules(job: Job, engine: Engine, step: Step, known: dict[tuple[str, str, str], Algorithm]) -> Job:
    if not _has_source(job):
        return job
    done: list[Algorithm] = []
    for algorithm in job["algorithms"]:
        if algorithm.get("form") != _SOURCE:
            done.append(algorithm)
            continue
        key = (job["kernel"], algorithm["name"], algorithm["object"])
        if key not in known:
            known[key] = _compiled(algorithm, job["kernel"], engine, step)
        done.append(known[key])
    return {**job, "algorithms": done}


def _compiled(algorithm: Algorithm, kernel: str, engine: Engine, step: Step) -> Algorithm:
    name = algorithm["name"]
    if not isinstance(engine, VmEngine):
        raise InputError(f"found the kernel module {name} with the engine {engine.name}; expected the engine vm")
    headers = _headers(engine.machine(kernel)[1], step)
    source = unpacked_source(name, unpacked(algorithm["object"]))
    tools = ModuleTools(headers.archive, headers.folder, headers.packages_sha256)
    try:
        module = compile_module(source, tools)
    except CompileError as error:
        raise CompileError(f"found the kernel module {name} for {kernel}: {error}") from error
    return {"name": name, "source_sha256": algorithm["source_sha256"], "object": packed(module), "form": "module"}


def _headers(image: Image, step: Step) -> Headers:
    return found_or_built(
        f"headers of {image.kernel}",
        partial(find_headers, image),
        partial(build_headers, image),
        step,
        kind="kernel-headers",
    )
