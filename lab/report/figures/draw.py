# SPDX-License-Identifier: Apache-2.0
"""Draw all figures of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lab.report.figures.compare.comparison import comparison_figures
from lab.report.figures.compare.completions import completion_figures
from lab.report.figures.compare.latency import latency_figures
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import save
from lab.report.figures.over_time.events import event_figures
from lab.report.figures.over_time.states import state_figures
from lab.report.figures.over_time.timeseries import time_figures
from lab.report.figures.picture import Picture
from lab.report.figures.topology import topology_figure
from lab.report.model import Report

_FIGURES: tuple[tuple[str, Callable[[Report], Iterable[Drawn]]], ...] = (
    ("comparison", comparison_figures),
    ("comparison", completion_figures),
    ("comparison", latency_figures),
    ("time", time_figures),
    ("events", event_figures),
    ("states", state_figures),
)
"""Section of the page → a function that yields figures for it, in the order of the page."""


def draw(report: Report, folder: Path) -> list[Picture]:
    """Save all figures of *report* in *folder*, and return them in the order of the page."""
    pictures = []
    for section, drawn in all_figures(report):
        save(drawn.figure, folder, drawn.name)
        pictures.append(Picture(section, drawn.name, drawn.caption))
    return pictures


def all_figures(report: Report) -> Iterator[tuple[str, Drawn]]:
    """Yield all figures of *report*, each with the section of the page to which it belongs."""
    if report.jobs:
        caption = (
            "Topology. Thick lines are links with a rate limit. Delays are those of one direction. A slash separates "
            "the values of a parameter that the experiment varies."
        )
        yield "topology", Drawn("topology", topology_figure(report.jobs), caption)
    for section, figures_of in _FIGURES:
        for drawn in figures_of(report):
            yield section, drawn
