# SPDX-License-Identifier: Apache-2.0
"""Figures of the TCP states of connections over time, with a line for each end of a connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lab.evaluation.connections import ConnectionEnd, connection_ends
from lab.report.cells import Where, first_trials
from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import styled
from lab.report.figures.look.style import GREY, PAGE_INCHES
from lab.report.figures.over_time.marks import last_moment
from lab.report.model import Report
from lab.words import listed

MAX_FIGURES = 6
"""Largest number of figures; the remaining cells are only in the table."""
MAX_LINES = 32
"""Largest number of lines in a figure; the remaining ends of connections are only in the table."""

LEAST_SHARE = 0.004
"""Smallest width of a state, as a share of the time axis.  Shorter states would be invisible."""

_LINE_INCHES = 0.17
"""Height of a line."""

COLOURS = {
    "SYN_SENT": "#E69F00",
    "SYN_RECV": "#F0E442",
    "NEW_SYN_RECV": "#F0E442",
    "ESTABLISHED": "#BBD6E8",
    "FIN_WAIT1": "#D55E00",
    "FIN_WAIT2": "#F2A46F",
    "CLOSING": "#8C3B00",
    "TIME_WAIT": "#999999",
    "CLOSE_WAIT": "#CC79A7",
    "LAST_ACK": "#7B3F61",
}
"""Colour of each state, in the order of a connection's life (RFC 9293, section 3.3.2).

The states of the end that closes first are red, and those of the other end purple.
"""


def state_figures(report: Report) -> Iterator[Drawn]:
    """Yield a timeline for the first repetition of each cell whose states were recorded."""
    trials = [(place, trial) for place, trial in first_trials(report, ["states"]).items() if connection_ends(trial)]
    for number, (place, trial) in enumerate(trials[:MAX_FIGURES], 1):
        ends = connection_ends(trial)
        shown = ends[:MAX_LINES]
        with styled():
            figure = _figure(shown, place, last_moment(report))
        more = [f"The table lists {len(ends) - len(shown)} more ends of connections."] if len(ends) > MAX_LINES else []
        if number == MAX_FIGURES and len(trials) > MAX_FIGURES:
            more.append(f"The table lists {len(trials) - MAX_FIGURES} more cells.")
        caption = (
            f"TCP states of both ends of each connection of {trial.id}. A state that lasted for less than"
            f" {LEAST_SHARE:.1%} of the time axis is drawn with that width; the table says how long each state lasted."
        )
        yield Drawn(
            f"states-{number}" if len(trials) > 1 else "states",
            figure,
            " ".join([caption, *more]),
            _alt(trial.id, shown),
        )


def _alt(trial: str, ends: Sequence[ConnectionEnd]) -> str:
    """Return a text that says what the figure shows to somebody who does not see it."""
    held: dict[str, float] = {}
    for end in ends:
        for span in end.spans:
            held[span.name] = held.get(span.name, 0.0) + span.end - span.start
    times = [f"{state} {held[state]:.3g} s" for state in [*COLOURS, *(held.keys() - COLOURS.keys())] if state in held]
    return (
        f"Bars over time that show in which TCP state the {len(ends)} ends of connections in {trial} were. "
        f"Together, they were in {listed(times)}."
    )


def _figure(ends: Sequence[ConnectionEnd], place: Where, axis_end_s: float) -> Figure:
    figure = Figure(figsize=(PAGE_INCHES, _LINE_INCHES * len(ends) + 0.95), layout="constrained")
    axes = figure.subplots()
    end_s = max([axis_end_s, *(end.spans[-1].end for end in ends)])
    for line, end in enumerate(ends):
        _draw(axes, line, end, end_s)
    axes.set_yticks(range(len(ends)), [end.label for end in ends], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(ends) - 0.5, -0.5)
    axes.set_xlim(0, end_s * 1.01)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Time (s)")
    axes.set_title(", ".join(place), loc="left")
    present = {span.name for end in ends for span in end.spans}
    handles = [Patch(color=colour, label=state) for state, colour in COLOURS.items() if state in present]
    figure.legend(handles=handles, loc="outside upper right", ncols=8, handlelength=1.2, columnspacing=1.2)
    return figure


def _draw(axes: Axes, line: int, end: ConnectionEnd, end_s: float) -> None:
    for span in end.spans:
        width = max(span.end - span.start, LEAST_SHARE * end_s)
        colour = COLOURS.get(span.name, GREY)
        # Draw ESTABLISHED below the other states, so that it does not cover a handshake that took microseconds.
        order = 2 if span.name == "ESTABLISHED" else 3
        axes.barh(line, width, left=span.start, height=0.66, color=colour, linewidth=0, zorder=order)
