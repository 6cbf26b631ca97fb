# SPDX-License-Identifier: Apache-2.0
"""The experiment files that ``lab new`` writes as a starting point."""

from __future__ import annotations

import re
from importlib import resources

from lab.errors import InputError
from lab.experiment.schema.types import NAME_PATTERN, PATTERN_MEANINGS
from lab.units import show

__all__ = ["own_algorithm_starter", "starter"]


def starter(name: str) -> str:
    """Return the text of a commented experiment file for an experiment with the name *name*.

    Raises:
        InputError: *name* is not a valid name of an experiment.
    """
    return _filled_in("starter.yaml", name)


def own_algorithm_starter(name: str, source: str) -> str:
    """Return the text of an experiment called *name* that compares the congestion control in *source* with CUBIC.

    Raises:
        InputError: *name* is not a valid name of an experiment.
    """
    return _filled_in("own_algorithm.yaml", name).replace("SOURCE", source)


def _filled_in(template: str, name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"an experiment cannot be called {show(name)}; expected {PATTERN_MEANINGS[NAME_PATTERN]}")
    text = resources.files("lab.experiment.schema").joinpath(template).read_text(encoding="utf-8")
    return text.replace("name: NAME", f"name: {name}")
