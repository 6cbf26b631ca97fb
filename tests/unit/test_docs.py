# SPDX-License-Identifier: Apache-2.0
"""The documentation: what is taken from the code is up to date, and what refers to something finds it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.experiment.read.load import load_experiment

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def test_generated_parts_are_up_to_date() -> None:
    command = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_pitfall_that_the_source_names_has_a_section() -> None:
    page = (DOCS / "explanation" / "pitfalls.md").read_text(encoding="utf-8")
    sections = {int(number) for number in re.findall(r"^## (\d+)\. .* \{ #pitfall-\1 \}$", page, re.MULTILINE)}
    assert sections == set(range(1, 15))
    named: set[int] = set()
    for path in (ROOT / "lab").rglob("*.py"):
        for numbers in re.findall(r"[Pp]itfalls? ([\d, and]+)", path.read_text(encoding="utf-8")):
            named |= {int(number) for number in re.findall(r"\d+", numbers)}
    assert named
    assert named <= sections


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_experiments_that_a_page_shows_are_valid(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)):
        if re.search(r"^name: ", text, re.MULTILINE) and re.search(r"^topology:\n", text, re.MULTILINE):
            path = tmp_path / f"{number}.yaml"
            path.write_text(text, encoding="utf-8")
            load_experiment(path)


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md$", config, re.MULTILINE))
    assert listed == {str(path.relative_to(DOCS)) for path in PAGES}
