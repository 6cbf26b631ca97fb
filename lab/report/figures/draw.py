# SPDX-License-Identifier: Apache-2.0
"""Draw the figures of a report: all of them, or one by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from lab.report.figures.compare.comparison import comparison_figures
from lab.report.figures.compare.completions import completion_figures
from lab.report.figures.compare.latency import latency_figures
from lab.report.figures.drawn import Drawn
from lab.report.figures.over_time.events import event_figures
from lab.report.figures.over_time.own_values import own_value_figures
from lab.report.figures.over_time.states import state_figures
from lab.report.figures.over_time.timeseries import time_figures
from lab.report.figures.picture import Picture
from lab.report.figures.saving import save_all
from lab.report.figures.topology import topology_figure
from lab.report.model import Report

_FIGURES: tuple[tuple[str, Callable[[Report], Iterable[Drawn]]], ...] = (
    ("comparison", comparison_figures),
    ("comparison", completion_figures),
    ("comparison", latency_figures),
    ("time", time_figures),
    ("time", own_value_figures),
    ("events", event_figures),
    ("states", state_figures),
)
"""Section of the page → a function that yields figures for it, in the order of the page."""


def draw(report: Report, folder: Path) -> list[Picture]:
    """Save all figures of *report* in *folder*, and return them in the order of the page."""
    found = list(all_figures(report))
    save_all([drawn for _section, drawn in found], folder)
    return [Picture(section, drawn.name, drawn.caption, drawn.alt) for section, drawn in found]


def figure(report: Report, name: str) -> Figure:
    """Return the figure *name* of a report, such as ``goodput-vs-loss``, without saving it.

    Draw or change it within :func:`lab.report.figures.look.settings.styled`, which has the fonts of all figures.

    Raises:
        KeyError: The report has no such figure; the error names those that it has.
    """
    names = []
    for _section, drawn in all_figures(report):
        if drawn.name == name:
            return drawn.figure
        names.append(drawn.name)
    raise KeyError(f"found {name!r}; expected one of {', '.join(names)}")


def all_figures(report: Report) -> Iterator[tuple[str, Drawn]]:
    """Yield all figures of *report*, each with the section of the page to which it belongs.

    Those that the experiment asks for come before the others of their section.
    """
    if report.jobs:
        caption = (
            "Topology. Thick lines are links with a rate limit. Delays are those of one direction. A slash separates "
            "the values of a parameter that the experiment varies."
        )
        yield "topology", Drawn("topology", topology_figure(report.jobs), caption, _topology_alt(report))
    asked, with_defaults = _asked(report)
    for section in dict.fromkeys(section for section, _figures_of in _FIGURES):
        yield from ((own, drawn) for own, drawn in asked if own == section)
        for other, figures_of in _FIGURES if with_defaults else ():
            if other == section:
                for drawn in figures_of(report):
                    yield section, drawn


def _asked(report: Report) -> tuple[list[tuple[str, Drawn]], bool]:
    if not report.plan.get("report"):
        # Without this part of the plan, the models of experiment files need not be loaded.
        return [], True
    from lab.report.figures.asked import asked_figures, asked_of

    asked = asked_of(report)
    return list(asked_figures(report, asked)), asked.defaults


def figure_named(report: Report, name: str) -> Figure | None:
    """Return the figure *name* of *report*, which is not saved; None if it has no such figure."""
    return next((drawn.figure for _section, drawn in all_figures(report) if drawn.name == name), None)


def _topology_alt(report: Report) -> str:
    job = report.jobs[0]
    links = ", ".join(f"{link['a']} – {link['b']}" for link in job["links"][:12])
    more = f" and {len(job['links']) - 12} more" if len(job["links"]) > 12 else ""
    pairs = dict.fromkeys(f"{flow['source']} to {flow['destination']}" for flow in job["flows"][:6])
    return f"The network: links {links}{more}. Flows from {', '.join(pairs)}."
