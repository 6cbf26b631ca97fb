# SPDX-License-Identifier: Apache-2.0
"""Figures that several processes save."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from lab.report.figures.drawn import Drawn
from lab.report.figures.look.settings import styled
from lab.report.figures.saving import save_all


def drawn(name: str, heights: list[float]) -> Drawn:
    with styled():
        figure = Figure(figsize=(2, 1.5), layout="constrained")
        figure.subplots().plot(heights, label=name)
        figure.legend()
    return Drawn(name, figure, "A line.", "A line that rises.")


def test_figures_have_the_same_bytes_whatever_number_of_processes_saves_them(tmp_path: Path) -> None:
    saved = []
    for processes in (1, 3):
        folder = tmp_path / str(processes)
        save_all([drawn(f"line-{place}", [place, 1.0, 5.0]) for place in range(5)], folder, processes)
        saved.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert saved[0] == saved[1]
    assert sorted(saved[0]) == sorted(f"line-{place}.{end}" for place in range(5) for end in ("svg", "pdf", "png"))
