# SPDX-License-Identifier: Apache-2.0
"""Write comparisons as text for a terminal, as Markdown, and as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import astuple

from lab.compare.differences import Comparison
from lab.compare.outcome import (
    Line,
    cell_lines,
    cell_summary,
    document,
    inputs,
    lines,
    remarks,
    summary,
    what_changed,
)
from lab.compare.tolerances import Tolerances
from lab.compare.verdicts import FAILING

_HEADINGS = ("cell", "flow", "metric", "first", "second", "change", "effect size", "p (Holm)", "verdict")
_CELL_HEADINGS = ("cell", "verdict", "why")
_TEXTS = ("cell", "flow", "metric", "change", "verdict")
_STYLES = {"worse": "bold red", "better": "green", "changed": "yellow", "unclear": "dim", "same": "", "identical": ""}


def as_text(comparisons: Sequence[Comparison], width: int, *, everything: bool, colour: bool) -> str:
    """Return comparisons as text that is *width* columns wide."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, highlight=False, force_terminal=colour, no_color=not colour)
    for comparison in comparisons:
        console.print(Text(f"{comparison.second.name} against {comparison.first.name}", style="bold"))
        console.print(Text(cell_summary(comparison)))
        console.print(Text(what_changed(comparison)))
        cells = cell_lines(comparison, everything=everything)
        if cells:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for name in _CELL_HEADINGS:
                table.add_column(name)
            for cell in cells:
                style = "bold red" if cell.verdict in FAILING else _STYLES.get(cell.verdict, "")
                table.add_row(cell.cell, Text(cell.verdict, style=style), cell.why)
            console.print(table)
        console.print(Text(summary(comparison)))
        found = lines(comparison, everything=everything)
        if found:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for name in _HEADINGS:
                table.add_column(name, justify="left" if name in _TEXTS else "right")
            for line in found:
                style = _STYLES[line.verdict]
                table.add_row(*astuple(line)[:-1], Text(line.verdict, style=style))
            console.print(table)
        for text in (*remarks(comparison), *inputs(comparison)):
            console.print(Text(f"- {text}"), soft_wrap=True)
        console.print()
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).strip() + "\n"


def as_markdown(comparisons: Sequence[Comparison], *, everything: bool) -> str:
    """Return comparisons as Markdown."""
    parts = []
    for comparison in comparisons:
        parts.append(f"## {comparison.second.name} against {comparison.first.name}\n")
        parts += [f"{text[:1].upper()}{text[1:]}.\n" for text in (cell_summary(comparison), what_changed(comparison))]
        cells = [
            _row([_escaped(text) for text in astuple(line)]) for line in cell_lines(comparison, everything=everything)
        ]
        if cells:
            parts.append("\n".join([_row(_CELL_HEADINGS), _row(["---"] * len(_CELL_HEADINGS)), *cells]) + "\n")
        parts.append(f"{summary(comparison)}.\n".capitalize())
        found = lines(comparison, everything=everything)
        if found:
            parts.append("\n".join([_row(_HEADINGS), _row(["---"] * len(_HEADINGS)), *map(_line, found)]) + "\n")
        parts.append("".join(f"- {_escaped(text)}\n" for text in (*remarks(comparison), *inputs(comparison))))
    return "\n".join(parts)


def as_json(comparisons: Sequence[Comparison], tolerances: Tolerances) -> str:
    """Return comparisons as JSON."""
    return json.dumps(document(comparisons, tolerances), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _line(line: Line) -> str:
    return _row([_escaped(text) for text in astuple(line)])


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    for character in "\\|*_`<[":
        text = text.replace(character, "\\" + character)
    return text
