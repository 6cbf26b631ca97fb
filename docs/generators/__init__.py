# SPDX-License-Identifier: Apache-2.0
"""What the pages take from the code, as Markdown; ``docs/generate.py`` puts it into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def require(what: str, wanted: Iterable[str], there: Iterable[str]) -> None:
    """End with a message if something is *wanted* for which no page has a part."""
    missing = sorted(set(wanted) - set(there))
    if missing:
        raise SystemExit(f"no page has {what} of {', '.join(missing)}")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that ends with a newline."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def sentences(text: str) -> str:
    """A docstring's text as one line of Markdown."""
    return " ".join(text.replace("``", "`").split())
