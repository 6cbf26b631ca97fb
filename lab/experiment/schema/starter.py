# SPDX-License-Identifier: Apache-2.0
"""An experiment to start from."""

from __future__ import annotations

import re
from importlib import resources

from lab.errors import InputError
from lab.experiment.schema.types import NAME_PATTERN, PATTERN_MEANINGS
from lab.units import show

__all__ = ["starter"]


def starter(name: str) -> str:
    """Return the text of a commented experiment called *name*.

    Raises:
        InputError: No experiment can be called so.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"no experiment can be called {show(name)}; expected {PATTERN_MEANINGS[NAME_PATTERN]}")
    template = resources.files("lab.experiment.schema").joinpath("starter.yaml").read_text(encoding="utf-8")
    return template.replace("name: NAME", f"name: {name}")
