# SPDX-License-Identifier: Apache-2.0
"""The library inside of the page is the one that its note names, as its authors released it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lab.report.page.render import LIBRARY, LIBRARY_LICENCE, LIBRARY_STYLE, asset

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "lab" / "report" / "assets" / "uplot"
NOTE = json.loads((FOLDER / "vendored.json").read_text(encoding="utf-8"))


def test_each_file_has_the_digest_of_the_note() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}
    del found["vendored.json"]
    assert found == NOTE["sha256"]
    assert {Path(name).name for name in (LIBRARY, LIBRARY_LICENCE, LIBRARY_STYLE)} == set(found)


def test_the_library_says_that_it_is_this_version() -> None:
    assert asset(LIBRARY).splitlines()[0] == f"/*! https://github.com/leeoniya/uPlot (v{NOTE['version']}) */"


def test_its_licence_is_among_the_licences_of_the_project() -> None:
    licence = (ROOT / "LICENSES" / f"{NOTE['licence']}.txt").read_bytes()
    assert licence == (FOLDER / "LICENSE.txt").read_bytes()
    assert b"Copyright (c) 2022 Leon Sorokin" in licence


def test_it_can_stand_inside_of_a_page() -> None:
    assert "</script" not in asset(LIBRARY).lower()
    assert "</style" not in asset(LIBRARY_STYLE).lower()
    # The licence is in a comment of the page.
    assert "--" not in asset(LIBRARY_LICENCE)
