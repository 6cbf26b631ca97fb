# SPDX-License-Identifier: Apache-2.0
"""The congestion controls that ``lab new --cc`` writes as starting points: a starter, under another name."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from lab import names
from lab.cc.sources import SUFFIX
from lab.errors import InputError
from lab.job import kernels

__all__ = ["STARTERS", "algorithm_starter", "name_of"]

STARTERS = ("fixed", "reno", "delay", "rate", "cubic")
"""A fixed window, AIMD as in Reno, a delay-based one like Vegas, a paced one that measures rates, and CUBIC."""


def name_of(source: Path) -> str:
    """Return the name of the algorithm in a file that is called *source*.

    Raises:
        InputError: An algorithm cannot have this name.
    """
    name = source.name.removesuffix(SUFFIX)
    if not source.name.endswith(SUFFIX) or not re.fullmatch(names.CONGESTION_CONTROL, name):
        raise InputError(
            f"--cc: found {source.name!r}; expected up to 15 lowercase letters, digits and '_', then '{SUFFIX}', such "
            "as my_cc.bpf.c"
        )
    if name in kernels.ALGORITHMS:
        raise InputError(
            f"--cc: found {source.name!r}, but the kernel has an algorithm named {name!r}; expected another name, such "
            f"as my_{name[:12]}{SUFFIX}"
        )
    return name


def algorithm_starter(name: str, starter: str) -> str:
    """Return the source of an algorithm called *name* that does what the *starter* does.

    Raises:
        InputError: There is no such starter.
    """
    if starter not in STARTERS:
        raise InputError(f"--starter: found {starter!r}; expected one of {', '.join(STARTERS)}")
    text = resources.files("lab.cc").joinpath("starters", f"{starter}{SUFFIX}").read_text(encoding="utf-8")
    return re.sub(r'LAB_CC\("\w+"', f'LAB_CC("{name}"', text)
