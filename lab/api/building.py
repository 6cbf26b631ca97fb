# SPDX-License-Identifier: Apache-2.0
"""Experiments that Python gives: the path of a file, a model, or the mapping that a file would contain."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import SpecError
from lab.experiment.read.document import parse_yaml
from lab.experiment.read.load import MAX_FILE_BYTES, LoadedExperiment, load_experiment, load_text
from lab.experiment.read.write import plain_document, to_yaml

if TYPE_CHECKING:
    from lab.experiment.check.known import Lookup


_HEADER = b"# Written by lab from an experiment that was built in Python\n"
_NAME = "experiment"
"""What messages call an experiment that is not in a file."""


def loaded(given: Any, overrides: Sequence[str], lookup: Lookup | None) -> LoadedExperiment:
    """Return the checked experiment.  An experiment that is not in a file has a text, too: the file that it would be.

    Raises:
        SpecError: The experiment has problems; the message names each with its place and its field.
    """
    try:
        if isinstance(given, str | os.PathLike):
            return load_experiment(Path(given), overrides, lookup)
        text = _HEADER + to_yaml(plain_document(given))
        if len(text) > MAX_FILE_BYTES:
            found = f"found an experiment of {len(text) // 1024} KiB as YAML"
            raise SpecError(f"{found}; expected at most {MAX_FILE_BYTES // 1024} KiB")
        return load_text(Path(_NAME), text, overrides, lookup)
    except SpecError as error:
        # The lines and columns are those of a text that nobody has seen, and overrides are no options here.
        message = re.sub(rf"^{_NAME}:\d+:\d+: ", f"{_NAME}: ", str(error), flags=re.MULTILINE)
        raise SpecError(re.sub(r"^--set ", "set ", message, flags=re.MULTILINE)) from None


def overrides_of(values: Mapping[str, Any]) -> list[str]:
    """Return the mapping from paths of fields to values as the overrides of a command line: ``PATH=VALUE``.

    Raises:
        SpecError: A path is no text, or a value cannot be written in a file.
    """
    return [f"{path}={_written(value)}" for path, value in plain_document(dict(values)).items()]


def _written(value: Any) -> str:
    if isinstance(value, str):
        parsed = parse_yaml(value)
        if not parsed.faults and parsed.root == value:
            return value
    # JSON is YAML in one line.
    return json.dumps(value, ensure_ascii=False)
