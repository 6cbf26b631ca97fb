# SPDX-License-Identifier: Apache-2.0
"""Show a grade on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.cli.common import console

if TYPE_CHECKING:
    from lab.grade.result.grade import GradeDocument

_STYLES = {"full": "green", "part": "yellow", "none": "bold red", "failed": "bold red", "waiting": "dim"}
_MOST_LINES = 30
"""The number of lines of a message that are shown; the page has them all."""


def show_grade(grade: GradeDocument) -> None:
    """Print the points of a submission on the standard error stream, and what went wrong."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from lab.grade.result.student_page import WORDS, number, remarks

    out = console()
    for message in grade["messages"]:
        if message["about"]:
            out.print(Text(f"{', '.join(message['about'])}:", style="bold"))
        lines = message["text"].splitlines()
        out.print(Text("\n".join(lines[:_MOST_LINES]), style="red"), soft_wrap=True)
        if len(lines) > _MOST_LINES:
            out.print(f"… and {len(lines) - _MOST_LINES} more lines, which the page has")
        out.print()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("criterion", "points", "", "found", "all points", "no points", "margin"):
        table.add_column(name, justify="left" if name in ("criterion", "") else "right")
    for one in grade["criteria"]:
        points = f"{number(one['points'])} of {number(one['most'])}"
        word = Text(WORDS[one["verdict"]], style=_STYLES[one["verdict"]])
        table.add_row(
            Text(one["title"]), points, word, *map(Text, (one["observed"], one["full"], one["none"], one["margin"]))
        )
    out.print(table)
    out.print(Text(f"{number(grade['points'])} of {number(grade['most'])} points", style="bold"))
    for line in remarks(grade):
        out.print(Text(line))
