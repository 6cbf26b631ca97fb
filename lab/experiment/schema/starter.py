# SPDX-License-Identifier: Apache-2.0
"""The experiment file that ``lab new`` writes as a starting point."""

from __future__ import annotations

import re
from importlib import resources

from lab.errors import InputError
from lab.experiment.schema.types import NAME_PATTERN, PATTERN_MEANINGS
from lab.units import show

__all__ = ["starter"]


def starter(name: str) -> str:
    """Return the text of a commented experiment file for an experiment with the name *name*.

    Raises:
        InputError: *name* is not a valid name of an experiment.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"an experiment cannot be called {show(name)}; expected {PATTERN_MEANINGS[NAME_PATTERN]}")
    template = resources.files("lab.experiment.schema").joinpath("starter.yaml").read_text(encoding="utf-8")
    return template.replace("name: NAME", f"name: {name}")
