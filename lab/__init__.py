# SPDX-License-Identifier: Apache-2.0
"""Network experiments on a real Linux kernel in deterministic virtual time, and their results as Python objects.

::

    import lab

    run = lab.run("my_first.yaml", set={"repeat": 5}, engine="uml")  # or lab.load("results/my_first/latest")
    run.metrics                                 # one row per flow and trial, as a polars DataFrame
    run.trace("tcp_probe", trial="bbr-r1")      # what a collector recorded
    run.figure("cwnd").savefig("cwnd.pdf")      # a figure of the report, as a matplotlib Figure

``docs/reference/python.md`` lists every function.  A name is imported when it is used for the first time, so that
``import lab`` and the command line stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.api.results import Run, load
    from lab.api.running import run
    from lab.api.summary import runs
    from lab.errors import (
        InputError,
        LabError,
        MachineryError,
        SpecError,
        StoreError,
        TrialError,
        TrialsFailedError,
        UnknownNameError,
    )
    from lab.experiment.schema.experiment import Experiment

_PLACES = {
    "Experiment": "lab.experiment.schema.experiment",
    "InputError": "lab.errors",
    "LabError": "lab.errors",
    "MachineryError": "lab.errors",
    "Run": "lab.api.results",
    "SpecError": "lab.errors",
    "StoreError": "lab.errors",
    "TrialError": "lab.errors",
    "TrialsFailedError": "lab.errors",
    "UnknownNameError": "lab.errors",
    "load": "lab.api.results",
    "runs": "lab.api.summary",
}
"""Public name → the module that it is imported from.  ``run`` is not here: see :mod:`lab.run`."""

__all__ = [
    "Experiment",
    "InputError",
    "LabError",
    "MachineryError",
    "Run",
    "SpecError",
    "StoreError",
    "TrialError",
    "TrialsFailedError",
    "UnknownNameError",
    "load",
    "run",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name == "run":
        return import_module("lab.run")
    if name == "__version__":
        return import_module("lab.version").version()
    if name not in _PLACES:
        raise AttributeError(f"module 'lab' has no attribute {name!r}")
    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
