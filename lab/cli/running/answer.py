# SPDX-License-Identifier: Apache-2.0
"""Show the answer of a run on the terminal: its sentences, and the table of results with the best values marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli.common import console

if TYPE_CHECKING:
    from rich.table import Table


def show_answer(report_dir: Path) -> None:
    """Print the answer that the report in *report_dir* gives, on the standard error stream."""
    from rich.padding import Padding
    from rich.text import Text

    document = json.loads((report_dir / "answer.json").read_text(encoding="utf-8"))
    out = console()
    if not document["sentences"]:
        return
    out.print()
    for sentence in document["sentences"]:
        out.print(Padding(Text(sentence), (0, 0, 0, 2), expand=False))
        out.print()
    if document["basis"]:
        out.print(Padding(Text(document["basis"], style="dim"), (0, 0, 1, 2), expand=False))
    if document["evidence"]:
        out.print(_evidence(document["evidence"]))
    if document["lines"]:
        out.print(_table(document))
        for text in _below(document):
            out.print(Text(text))


def _evidence(found: list[dict[str, Any]]) -> Table:
    """Return the comparisons with the largest effects, one for each sentence; the report has all of them."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("compared in pairs", "difference", "95 % interval", "effect size", "p (Holm)", "agree", "verdict"):
        table.add_column(name, justify="left" if name in ("compared in pairs", "verdict") else "right")
    for item in found:
        if item["is_leading"]:
            where = f", {item['where']}" if item["where"] else ""
            table.add_row(
                f"{item['quantity']}{where}: {item['first']} and {item['second']}",
                *(item[name] for name in ("difference", "interval", "effect_size", "p_value", "agreeing", "verdict")),
            )
    return table


def _table(document: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (*document["axes"], "flow"):
        table.add_column(name)
    for name in ("n", *document["columns"]):
        table.add_column(name, justify="right")
    signs = _signs(document)
    if signs:
        table.add_column("remarks")
    for line in document["lines"]:
        values = [
            # A mark that is also there without colours.
            Text(f"{value['mean']}{'*' if value['is_best'] else ''}", style="bold green" if value["is_best"] else "")
            for value in line["values"]
        ]
        sign = signs.get(line["remarks"], "")
        table.add_row(*line["cell"], line["flow"], str(line["repetitions"]), *values, *([sign] if signs else []))
    return table


def _signs(document: dict[str, Any]) -> dict[str, str]:
    """Return for each remark what stands for it in the table, which has no room for sentences."""
    remarks = dict.fromkeys(line["remarks"] for line in document["lines"] if line["remarks"])
    return {text: f"({number})" for number, text in enumerate(remarks, 1)}


def _below(document: dict[str, Any]) -> list[str]:
    """Return what stands below the table of results."""
    has_best = any(value["is_best"] for line in document["lines"] for value in line["values"])
    best = ["* the best of its cell, or not clearly worse than the best"] if has_best else []
    return [*best, *(f"{sign} {text}" for text, sign in _signs(document).items())]
