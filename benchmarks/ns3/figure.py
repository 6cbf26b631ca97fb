# SPDX-License-Identifier: Apache-2.0
"""Draw what a packet costs, against the number of hops, for each simulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.ns3.packet_cost import Fit
from benchmarks.ns3.slope import Slope
from lab.report.figures.look.settings import save, styled
from lab.report.figures.look.style import GREY, MARKERS, PAGE_INCHES, shades

_HEIGHT_INCHES = 2.6
BLUE = "#0072B2"
_MARGIN = 1.08


def draw_packet_cost(slopes: Sequence[Slope], fits: Sequence[Fit], folder: Path, name: str) -> Path:
    """Save the figure in *folder* as PNG, SVG and PDF, and return the path of the PNG."""
    # Virtual machines, which are many times slower, have an axis of their own.
    compared = _costs(slopes, [one.simulator for one in fits if one.simulator != "vm"])
    with styled():
        figure = Figure(figsize=(PAGE_INCHES, _HEIGHT_INCHES), layout="constrained")
        panels = figure.subplots(1, len(fits), squeeze=False)[0]
        for axes, one in zip(panels, fits, strict=True):
            _panel(axes, one, [slope for slope in slopes if slope.simulator == one.simulator])
            axes.set_ylim(0, _MARGIN * max(_costs(slopes, [one.simulator]) if one.simulator == "vm" else compared))
        panels[0].set_ylabel("processor time for a packet, µs")
        handles = {str(h.get_label()): h for axes in panels for h in axes.get_legend_handles_labels()[0]}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    save(figure, folder, name)
    return folder / f"{name}.png"


def _costs(slopes: Sequence[Slope], simulators: Sequence[str]) -> list[float]:
    return [slope.cpu_us_per_packet for slope in slopes if slope.simulator in simulators]


def _panel(axes: Axes, one: Fit, slopes: Sequence[Slope]) -> None:
    flow_counts = sorted({slope.flows for slope in slopes})
    for flows, colour, marker in zip(flow_counts, shades(BLUE, len(flow_counts)), MARKERS, strict=False):
        points = sorted((slope.links, slope.cpu_us_per_packet) for slope in slopes if slope.flows == flows)
        label = "1 flow" if flows == 1 else f"{flows} flows"
        axes.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=label, color=colour)
    ends = (0, max(slope.links for slope in slopes))
    axes.plot(ends, [one.at(links) for links in ends], color=GREY, linewidth=1, linestyle=(0, (4, 2)), label="fit")
    axes.set_title(f"{one.simulator}: {one.packet_us:.1f} + {one.hop_us:.1f} · hops")
    axes.set_xlabel("hops")
    axes.xaxis.set_major_locator(FixedLocator([0, *sorted({slope.links for slope in slopes})]))
    axes.xaxis.set_minor_locator(NullLocator())
