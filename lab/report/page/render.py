# SPDX-License-Identifier: Apache-2.0
"""Fill the templates, with the style sheets inside of the page."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

STYLES = ("page.css", "answer.css", "tables.css", "figures.css", "print.css")
"""The style sheets of the page, in ``lab/report/assets``, in the order in which they apply."""


def render_page(content: Mapping[str, Any]) -> str:
    """Return the page as HTML that needs no other files."""
    return _render("index.html.j2", {**content, "style": _joined(STYLES)}, html=True)


def render_summary(content: Mapping[str, Any]) -> str:
    """Return the summary in Markdown."""
    return _render("summary.md.j2", content, html=False)


def asset(name: str) -> str:
    """Return the text of a file in ``lab/report/assets``."""
    return resources.files("lab.report").joinpath("assets", name).read_text(encoding="utf-8")


def _joined(names: tuple[str, ...]) -> str:
    return "".join(map(asset, names))


def _render(template: str, content: Mapping[str, Any], *, html: bool) -> str:
    environment = Environment(
        loader=PackageLoader("lab.report"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _markdown_cell
    return environment.get_template(template).render(**content)


def _markdown_cell(text: object) -> str:
    """Return *text* on one line, with escapes so that it is neither taken for markup nor ends a table cell."""
    escaped = str(text).replace("\\", "\\\\")
    for character in "|*_`<[":
        escaped = escaped.replace(character, "\\" + character)
    return " ".join(escaped.split())
