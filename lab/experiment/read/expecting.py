# SPDX-License-Identifier: Apache-2.0
"""Find the experiments that expect something, among other YAML files.

This module imports nothing else of lab, because pytest loads it as soon as it sees a YAML file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SUFFIXES = (".yaml", ".yml")

_MOST_BYTES = 128 * 1024
"""The size of the largest experiment file (:data:`lab.experiment.read.files.MAX_FILE_BYTES`)."""

_EXPECTS = re.compile(rb"^(?:expect|extends)[ \t]*:", re.MULTILINE)
_IS_EXPERIMENT = re.compile(rb"^(?:topology|extends)[ \t]*:", re.MULTILINE)
"""What an experiment that expects something has at the start of a line; a file that it extends may have it instead."""


def expects_something(path: Path) -> bool:
    """Return whether a file looks like an experiment with expectations; one that cannot be read does not."""
    if path.suffix not in SUFFIXES:
        return False
    try:
        if path.stat().st_size > _MOST_BYTES:
            return False
        text = path.read_bytes()
    except OSError:
        return False
    return _EXPECTS.search(text) is not None and _IS_EXPERIMENT.search(text) is not None


def expecting_in(folder: Path) -> list[Path]:
    """Return the experiments with expectations in *folder* and the folders in it, sorted; hidden ones are left out."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if expects_something(path))
