# SPDX-License-Identifier: Apache-2.0
"""The figure of all runs that are compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lab.compare.cells import Place, RunCells, Value
from lab.compare.figure import MAX_MARKS, overlay
from lab.report.figures.look.settings import styled
from lab.report.figures.look.style import looks
from lab.report.tables.columns import COLUMNS
from lab.store.run import Run


def place(loss: str, algorithm: str) -> Place:
    return (("loss", loss), ("flow", "bulk"), ("algorithm", algorithm))


def made_up(name: str, values: Mapping[Place, Sequence[float]]) -> RunCells:
    cells = {
        where: {"goodput_mbps": {number: Value(value, number, name) for number, value in enumerate(of_cell, 1)}}
        for where, of_cell in values.items()
    }
    return RunCells(Run(Path("results/e") / name), cells, {one.key: one for one in COLUMNS}, {}, {}, 0)


def drawn(*runs: RunCells) -> Figure:
    with styled():
        figure = overlay(runs)
    assert figure is not None
    return figure


def bars(figure: Figure) -> list[Any]:
    """Return of each error bar the line of its marker, those of its caps, and those of the bar."""
    containers: Any = figure.axes[0].containers
    return [bar.lines for bar in containers]


def means(figure: Figure) -> list[tuple[float, str, bool]]:
    """Return of each mean its value, its colour, and whether its marker is hollow."""
    return [
        (float(line.get_xdata()[0]), to_hex(line.get_color()), to_hex(line.get_markerfacecolor()) == "#ffffff")
        for line, _caps, _bars in bars(figure)
    ]


def test_each_run_has_its_mean_in_the_colour_of_the_algorithm() -> None:
    values: dict[Place, Sequence[float]] = {
        place("1%", "cubic"): [3.0, 3.2, 3.1],
        place("1%", "bbr"): [18.0, 18.2, 18.1],
    }
    runs = [
        made_up(name, {where: [n * x for x in of] for where, of in values.items()}) for n, name in enumerate("abcde", 1)
    ]
    found = means(drawn(*runs))
    own = {name: look.colour.lower() for name, look in looks(["cubic", "bbr"]).items()}
    expected = [(n * mean, own[name], n == 1) for n in range(1, 6) for name, mean in (("cubic", 3.1), ("bbr", 18.1))]
    assert [mean for mean, *_look in found] == pytest.approx([mean for mean, *_look in expected])
    assert [look for _mean, *look in found] == [look for _mean, *look in expected]
    (legend,) = drawn(*runs).legends
    assert [text.get_text() for text in legend.get_texts()] == [f"e/{name}" for name in "abcde"]


def test_bars_are_intervals_and_two_repetitions_have_none() -> None:
    where = place("1%", "cubic")
    figure = drawn(made_up("a", {where: [3.0, 3.2, 3.1]}), made_up("b", {where: [3.0, 3.2]}))
    segments = [lines[0].get_segments()[0] for _line, _caps, lines in bars(figure)]
    widths = [float(segment[1][0] - segment[0][0]) for segment in segments]
    # Twice t(0.975; 2) · 0.1 / √3.
    assert widths == pytest.approx([2 * 4.30265 * 0.1 / 3**0.5, 0.0], abs=1e-4)


def test_of_many_runs_fewer_cells_are_drawn() -> None:
    values = {place(f"{number}%", "cubic"): [3.0, 3.2, 3.1] for number in range(40)}
    assert len(means(drawn(*(made_up(str(n), values) for n in range(2))))) == 80
    many = drawn(*(made_up(str(n), values) for n in range(30)))
    assert len(means(many)) == MAX_MARKS
    assert len(many.legends[0].get_texts()) == 30


def test_runs_without_a_common_cell_have_no_figure() -> None:
    with styled():
        assert (
            overlay([made_up("a", {place("1%", "cubic"): [3.0]}), made_up("b", {place("2%", "cubic"): [3.0]})]) is None
        )


def test_the_command_writes_it(replayed: Callable[[str], Run], lab_command: Any, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("one", "two", "three")]
    for run in runs:
        shutil.copytree(replayed("loss").path, run)
    for name, start in (("f.svg", b"<?xml"), ("f.pdf", b"%PDF"), ("f.png", b"\x89PNG")):
        said = lab_command("compare", *runs, "--figure", tmp_path / name)
        assert said.code == 0, said
        assert (tmp_path / name).read_bytes().startswith(start)
    assert lab_command("compare", *runs, "--figure", tmp_path / "f.gif").code == 2
    said = lab_command("compare", runs[0], replayed("udp").path, "--figure", tmp_path / "g.svg")
    assert said.code == 2
    assert "nothing to draw" in said.err
