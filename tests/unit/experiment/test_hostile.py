# SPDX-License-Identifier: Apache-2.0
"""Experiment files that are hostile or broken: a message with a place, soon, and no other exception."""

from __future__ import annotations

import copy
import random
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lab.errors import SpecError
from lab.experiment.read.load import load_experiment
from lab.plan.description import describe
from lab.plan.plan import make_plan
from lab.plan.preview import preview
from tests.unit.cli.test_damaged_runs import mutated

SHIPPED = sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml"))
MUTATIONS = 25
"""Mutations of each shipped experiment."""


def test_the_base_of_an_experiment(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for base, message in (
        ('"a\\0b"', "expected the path of another experiment file"),
        ("list.yaml", "which contains a list; expected a file that contains a mapping"),
        ("loop.yaml", "cannot be read"),
        ("x" * 300, "cannot be read"),
        ("[a.yaml]", "found a list; expected the path of another experiment file"),
    ):
        file.write_text(f"extends: {base}\nname: e\n")
        with pytest.raises(SpecError, match=f"e.yaml:1:10: extends: .*{message}"):
            load_experiment(file)


def test_a_long_text_that_aliases_repeat(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text(f'a: &a "{"x" * 60_000}"\nb: [{", ".join(["*a"] * 15_000)}]\n')
    began = time.monotonic()
    with pytest.raises(SpecError, match="more than 1000000 characters after expanding aliases"):
        load_experiment(file)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_no_value_of_an_experiment_ends_in_a_traceback(path: Path, tmp_path: Path) -> None:
    document: Any = YAML(typ="safe", pure=True).load(path.read_text())
    document["repeat"] = 1
    writer = YAML(typ="safe", pure=True)
    chance = random.Random(f"1 {path.stem}")
    outcomes = set()
    for _ in range(MUTATIONS):
        changed, what = mutated(copy.deepcopy(document), chance)
        file = tmp_path / "e.yaml"
        with file.open("w", encoding="utf-8", errors="surrogatepass") as output:
            writer.dump(changed, output)
        try:
            plan = make_plan(load_experiment(file).checked)
            assert describe(plan)
            assert preview(plan, 2)
            outcomes.add("good")
        except SpecError as error:
            outcomes.add("refused" if f"{file}:" in str(error) else "no place")
        except Exception as error:
            pytest.fail(f"{what}: {type(error).__name__}: {error}")
    assert "refused" in outcomes
    assert "no place" not in outcomes
