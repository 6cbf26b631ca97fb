# SPDX-License-Identifier: Apache-2.0
"""The figures that the reports of two compared runs both have, to be shown side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.compare.cells import RunCells
from lab.compare.differences import Comparison
from lab.store.run import LATEST

MOST_PAIRS = 4
_MOST_BYTES = 1 << 20
"""The largest figure that is shown: a page with several of them should stay small enough for mail."""
_FIRST = ("cwnd", "srtt", "goodput")
"""The figures over time that are shown first."""
_LEFT_OUT = ("topology",)


@dataclass(frozen=True)
class Pair:
    """A figure of both runs, as SVG."""

    title: str
    first: bytes
    second: bytes


def pairs(comparison: Comparison) -> list[Pair]:
    """Return the figures that the reports of both runs have; none if a run has no report, or its folder is not there.

    A baseline has the figures of the run that it was made from, if that is still beside the other run.
    """
    first, second = (_figures(run, comparison) for run in (comparison.first, comparison.second))
    both = [name for name in first if name in second]
    both.sort(key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    return [Pair(f"Figure {name}", first[name].read_bytes(), second[name].read_bytes()) for name in both[:MOST_PAIRS]]


def _figures(run: RunCells, comparison: Comparison) -> dict[str, Path]:
    folder = _folder(run, comparison)
    if folder is None:
        return {}
    paths = sorted((folder / "report" / "figures").glob("*.svg"))
    return {
        path.stem: path
        for path in paths
        # The folder may come from somebody else, and a link in it may lead anywhere.
        if path.stem not in _LEFT_OUT
        and not path.is_symlink()
        and path.is_file()
        and path.stat().st_size <= _MOST_BYTES
    }


def _folder(run: RunCells, comparison: Comparison) -> Path | None:
    if run.run is not None:
        return run.run.path
    other = comparison.second if run is comparison.first else comparison.first
    if other.run is None or not run.origin or run.origin == LATEST:
        return None
    folder = other.run.path.parent / run.origin
    return folder if folder.is_dir() else None
