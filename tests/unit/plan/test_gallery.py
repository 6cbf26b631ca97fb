# SPDX-License-Identifier: Apache-2.0
"""The shipped experiments: each is valid, has a description, and is mentioned in the README and the gallery."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.experiment.read.load import load_experiment
from lab.plan.description import notes
from lab.plan.plan import make_plan

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "experiments").glob("*.yaml"))
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")

SHORT_ON_PURPOSE = "different algorithms may take 130 s"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_experiment_is_what_it_says(path: Path) -> None:
    loaded = load_experiment(path)
    plan = make_plan(loaded.checked)
    assert plan.name == path.stem
    assert plan.title
    assert len(plan.description) > 100
    assert path.read_text().startswith(
        "# yaml-language-server: $schema=../lab/experiment/schema/experiment.schema.json\n"
    )
    assert f"| `{path.stem}` |" in PAGE
    option = "" if path.stem == "kernels" else " --engine uml"
    said = f"`lab run experiments/{path.stem}.yaml{option}`: {len(plan.trials)} trials"
    assert f"<!-- run of {path.stem} -->\n{said}" in PAGE
    # The gallery consists of exemplary experiments, so that at most one note is allowed: about the subject itself.
    unexpected = [note for note in notes(plan) if "repetitions" not in note and SHORT_ON_PURPOSE not in note]
    assert len(unexpected) <= 1, unexpected


def test_every_figure_of_the_gallery_is_there() -> None:
    named = set(re.findall(r"\]\((images/gallery/[\w.-]+)\)", PAGE))
    there = {f"images/gallery/{path.name}" for path in (ROOT / "docs" / "images" / "gallery").iterdir()}
    assert named == there
    assert len(named) >= len(SHIPPED)
