# SPDX-License-Identifier: Apache-2.0
"""The commands ``lab image`` for images that are damaged; how images are built is tested with the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.engine.image.build import recipe_digest
from tests.unit.cli.conftest import Lab

DIGEST = "0" * 64


@pytest.fixture
def damaged(lab_command: Lab, tmp_path: Path) -> Path:
    """An image in the cache of this test whose description is empty."""
    folder = tmp_path / "cache" / "images" / DIGEST
    folder.mkdir(parents=True)
    (folder / "info.json").write_text("{}")
    recipes = tmp_path / "cache" / "recipes"
    recipes.mkdir()
    (recipes / recipe_digest()).write_text(f"{DIGEST}\n")
    return folder


def test_a_damaged_image_is_listed_and_can_be_removed(damaged: Path, lab_command: Lab) -> None:
    said = lab_command("image", "list")
    assert said.code == 0
    assert said.lines == [
        f"! {DIGEST[:16]}  damaged: info.json has the fields (none); expected built, kernel, kernel_name, recipe, suite"
    ]
    assert lab_command("image", "rm", "000").lines == [f"removed {DIGEST}"]
    assert not damaged.exists()
    assert lab_command("image", "list").lines == []


@pytest.mark.parametrize("arguments", [(), ("000",)])
def test_the_properties_of_a_damaged_image(damaged: Path, lab_command: Lab, arguments: tuple[str, ...]) -> None:
    said = lab_command("image", "info", *arguments)
    assert said.code == 3
    assert said.err.startswith(f"lab: {damaged} is damaged: info.json has the fields (none)")
    assert said.err.endswith("`lab image build` builds it again\n")
