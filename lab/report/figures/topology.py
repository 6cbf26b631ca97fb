# SPDX-License-Identifier: Apache-2.0
"""A drawing of the topology: nodes, links with their rate, delay, loss and queue, and flows as arrows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from lab.analysis.path import flow_path
from lab.job.network import mean_loss
from lab.job.protocol import Direction, Job, Link
from lab.report.figures.look.settings import styled
from lab.report.figures.look.style import GREY, PAGE_INCHES
from lab.units import format_duration, format_percent, format_rate, format_size

MAX_PAIRS = 12
"""Largest number of pairs of hosts whose flows are drawn; a text below them says how many more there are."""

_FLOW = "#0072B2"


def topology_figure(jobs: Sequence[Job]) -> Figure:
    """Draw the topology of *jobs*.  Parameters that differ between them are shown with all values, or as a range."""
    job = jobs[0]
    places = layout(job)
    width = max(x for x, _ in places.values()) - min(x for x, _ in places.values()) + 1
    rows = max(y for _, y in places.values()) - min(y for _, y in places.values())
    with styled():
        figure = Figure(figsize=(PAGE_INCHES, 1.45 + 0.5 * rows), layout="constrained")
        axes = figure.subplots()
        axes.set_axis_off()
        for link in job["links"]:
            _draw_link(axes, places, link, [_same(other, link["name"]) for other in jobs])
        for node in job["nodes"]:
            _draw_node(axes, *places[node["name"]], node["name"], router=node["role"] == "router")
        _draw_flows(axes, places, jobs)
        axes.set_xlim(min(x for x, _ in places.values()) - 0.3, min(x for x, _ in places.values()) + width - 0.7)
    return figure


def save_topology(jobs: Sequence[Job], path: Path) -> None:
    """Save the figure of :func:`topology_figure` as an SVG file."""
    with styled():
        topology_figure(jobs).savefig(path, format="svg", metadata={"Date": None})


def layout(job: Job) -> dict[str, tuple[float, float]]:
    """Return the position (x, y) of each node.

    The path of the first flow runs from left to right, and all other nodes are placed around it: sources to the left of
    the node that they are attached to, destinations to the right.
    """
    first = job["flows"][0]
    spine = [first["source"], *(hop.receiver for hop in flow_path(job, first).forward)]
    column = {name: place for place, name in enumerate(spine)}
    sources = {flow["source"] for flow in job["flows"]}
    neighbours: dict[str, list[str]] = {node["name"]: [] for node in job["nodes"]}
    for link in job["links"]:
        neighbours[link["a"]].append(link["b"])
        neighbours[link["b"]].append(link["a"])
    waiting = list(spine)
    while waiting:
        node = waiting.pop(0)
        for other in neighbours[node]:
            if other not in column:
                left = other in sources or (column[node] < (len(spine) - 1) / 2 and not _is_destination(job, other))
                column[other] = column[node] + (-1 if left else 1)
                waiting.append(other)
    for node in neighbours:
        column.setdefault(node, 0)
    places: dict[str, tuple[float, float]] = {}
    for number in sorted(set(column.values())):
        members = [name for name in column if column[name] == number]
        for row, name in enumerate(members):
            places[name] = (float(number), (len(members) - 1) / 2 - row)
    return places


def _is_destination(job: Job, node: str) -> bool:
    return any(flow["destination"] == node for flow in job["flows"])


def _same(job: Job, name: str) -> Link | None:
    return next((link for link in job["links"] if link["name"] == name), None)


def _draw_node(axes: Axes, x: float, y: float, name: str, *, router: bool) -> None:
    box = {
        "boxstyle": "circle,pad=0.35" if router else "round,pad=0.4",
        "facecolor": "#f2f2f2" if router else "white",
        "edgecolor": "#333333",
        "linewidth": 0.9,
    }
    axes.text(x, y, name, ha="center", va="center", fontsize=8, zorder=5, bbox=box)


def _draw_link(axes: Axes, places: dict[str, tuple[float, float]], link: Link, same: Sequence[Link | None]) -> None:
    (x0, y0), (x1, y1) = places[link["a"]], places[link["b"]]
    limited = link["ab"]["rate_bps"] is not None or link["ba"]["rate_bps"] is not None
    axes.plot([x0, x1], [y0, y1], color="#333333", linewidth=1.8 if limited else 0.9, zorder=2)
    present = [other for other in same if other is not None]
    forward, back = [other["ab"] for other in present], [other["ba"] for other in present]
    lines = _direction_lines(forward)
    opposite = _direction_lines(back)
    if x1 < x0:
        lines, opposite = opposite, lines
    if lines == opposite:
        text = "\n".join(lines)
    else:
        arrows = (("→ ", lines), ("← ", opposite))
        text = "\n".join(f"{arrow}{' · '.join(part)}" for arrow, part in arrows if part)
    if text:
        axes.annotate(
            text,
            ((x0 + x1) / 2, (y0 + y1) / 2),
            xytext=(0, 11),  # above the nodes at both ends of the link
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.8,
            linespacing=1.3,
            zorder=6,
        )


def _direction_lines(directions: Sequence[Direction]) -> list[str]:
    """Return rate, delay, loss and queue of one direction of a link as short texts; none if nothing shapes it."""
    found = []
    rates = [direction["rate_bps"] for direction in directions if direction["rate_bps"] is not None]
    if rates:
        found.append(_range([format_rate(rate) for rate in sorted(rates)]))
    delays = sorted(direction["netem"]["delay_ns"] for direction in directions if direction["netem"])
    if delays and delays[-1]:
        found.append(_range([format_duration(delay) for delay in delays]))
    losses = sorted(mean_loss(direction["netem"]) for direction in directions)
    if losses and losses[-1]:
        found.append(f"loss {_range([format_percent(loss, 3) for loss in losses])}")
    if queue := _queue(directions):
        found.append(queue)
    return found


def _queue(directions: Sequence[Direction]) -> str:
    texts: dict[str, None] = {}
    for direction in directions:
        queue = direction["queue"]
        if queue is None:
            continue
        limit = ""
        if queue["limit_bytes"] is not None:
            limit = f" {format_size(queue['limit_bytes'])}"
        elif queue["limit_packets"] is not None:
            limit = f" {queue['limit_packets']} packets"
        texts[f"{queue['discipline']}{limit}"] = None
    if not texts:
        return ""
    return f"queue {', '.join(texts)}" if len(texts) <= 2 else f"queue {next(iter(texts))} and {len(texts) - 1} others"


def _range(texts: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    if len(distinct) > 4:
        return f"{distinct[0]} to {distinct[-1]}"
    return " / ".join(distinct)


def _draw_flows(axes: Axes, places: dict[str, tuple[float, float]], jobs: Sequence[Job]) -> None:
    """Draw an arrow below the nodes for each pair of hosts with flows, labelled with their names and algorithms."""
    pairs: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for job in jobs:
        for flow in job["flows"]:
            ends = pairs.setdefault((flow["source"], flow["destination"]), {})
            ends.setdefault(flow["group"], {})[flow["congestion_control"]] = None
    bottom = min(y for _, y in places.values())
    depth = bottom - 0.62
    for (source, destination), groups in list(pairs.items())[:MAX_PAIRS]:
        x0, x1 = places[source][0], places[destination][0]
        arrow = FancyArrowPatch(
            (x0, depth),
            (x1, depth),
            arrowstyle="-|>",
            mutation_scale=9,
            color=_FLOW,
            linewidth=1.1,
            shrinkA=0,
            shrinkB=0,
        )
        axes.add_patch(arrow)
        names = "; ".join(f"{group}: {_algorithms(list(found))}" for group, found in groups.items())
        label = f"{source} → {destination}  {names}" if len(pairs) > 1 else names
        axes.annotate(
            label,
            ((x0 + x1) / 2, depth),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.8,
            color=_FLOW,
        )
        depth -= 0.42
    if len(pairs) > MAX_PAIRS:
        axes.text(0, depth, f"and {len(pairs) - MAX_PAIRS} more pairs of hosts", fontsize=6.8, color=GREY)
    axes.set_ylim(depth + 0.1, max(y for _, y in places.values()) + 1.0)


def _algorithms(names: list[str]) -> str:
    return names[0] if len(names) == 1 else " / ".join(names)
