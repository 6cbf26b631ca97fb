# SPDX-License-Identifier: Apache-2.0
"""What the pages take from the code, as Markdown; ``docs/generate.py`` puts it into them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

RENAMED = {"tcp_probe": "probe", "trace tcp_probe": "trace probe", "TcpProbe": "Probe"}
"""New name → the name that the code may still have."""


def known_as(name: str, names: Container[str]) -> str:
    """The name under which the code knows what the pages call *name*."""
    if name in names:
        return name
    if RENAMED.get(name) in names:
        return RENAMED[name]
    raise SystemExit(f"the pages speak of {name!r}, which the code does not have")


def require(what: str, wanted: Iterable[str], there: Iterable[str]) -> None:
    """End with a message if something is *wanted* for which no page has a part."""
    present = set(there)
    present |= {RENAMED[name] for name in present if name in RENAMED}
    missing = sorted(set(wanted) - present)
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
