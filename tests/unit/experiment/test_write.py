# SPDX-License-Identifier: Apache-2.0
"""Experiments that are written as YAML mean the same when they are read again."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from lab.errors import SpecError
from lab.experiment.read.document import parse_yaml
from lab.experiment.read.load import load_experiment, load_text
from lab.experiment.read.write import plain_document, to_yaml
from lab.experiment.schema.experiment import Experiment
from lab.units import parse_queue_limit, written_queue_limit

ROOT = Path(__file__).parents[3]
FILES = [
    path
    for path in sorted([*ROOT.glob("experiments/*.yaml"), *ROOT.glob("tests/data/experiments/*.yaml")])
    if "capacity:" not in path.read_text(encoding="utf-8")  # A model has the contents of such a file, not its path.
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_model_is_written_as_the_file_that_means_it(path: Path) -> None:
    experiment = load_experiment(path).experiment
    document = plain_document(experiment)
    assert Experiment.model_validate(document) == experiment
    again = load_text(Path("experiment"), to_yaml(document))
    assert again.experiment == experiment
    assert again.checked.axes == load_experiment(path).checked.axes


@pytest.mark.parametrize(
    "text", ["1bdp", "0.5bdp", "0.123456789bdp", "100p", "64kB", "1500B", "16MiB", "12345678B", "50ms", "1ns", "2.5s"]
)
def test_a_queue_limit_is_written_so_that_it_is_read_again(text: str) -> None:
    limit = parse_queue_limit(text)
    assert parse_queue_limit(written_queue_limit(limit)) == limit


def test_values_of_python_become_plain_ones() -> None:
    found = plain_document(
        {"a": (np.float64(0.5), np.int32(3), np.bool_(True)), "b": PurePosixPath("some/file"), "c": {"d": None}}
    )
    assert found == {"a": [0.5, 3, True], "b": "some/file", "c": {"d": None}}
    assert [type(value) for value in found["a"]] == [float, int, bool]


@pytest.mark.parametrize(
    "value", ["yes", "no", "1e3", "0x1F", "null", "~", "", " a ", "a: b", "- x", "é\n\t", "#", "'"]
)
def test_texts_stay_texts(value: str) -> None:
    document = plain_document({"key": value, value or "empty": 1})
    assert parse_yaml(to_yaml(document).decode()).root == document


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": {"b": [1, {2}]}}, r"a\.b\[1\]: found \{2\} \(set\); expected a text, number, list or mapping"),
        ({"a": np.zeros(2)}, r"a: found array\(\[0\., 0\.\]\) \(ndarray\)"),
        ({"a": {1: 2}}, "a: found the key 1; expected a text"),
        ({1: 2}, "the experiment: found the key 1; expected a text"),
        ([], "expected an Experiment, a mapping, or the path of a file"),
        ({"a": float("nan")}, "cannot be written as YAML so that it means the same"),
    ],
)
def test_what_cannot_be_written(given: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        plain_document(given)
