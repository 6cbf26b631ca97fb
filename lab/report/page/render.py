# SPDX-License-Identifier: Apache-2.0
"""Fill the templates, with style sheets and scripts inside of the page, so that it needs no other files."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

STYLES = ("page.css", "answer.css", "expectations.css", "tables.css", "figures.css", "charts.css", "print.css")
"""The style sheets of the page, in ``lab/report/assets``, in the order in which they apply."""
THEME = ("theme.js",)
"""The script that must run before the page is drawn."""
SCRIPTS = ("tables.js", "page.js")
"""The scripts that run at the end of each page."""
LIBRARY_STYLE = "uplot/uPlot.min.css"
LIBRARY = "uplot/uPlot.iife.min.js"
"""The library that draws charts, which only pages with charts contain; ``uplot/vendored.json`` says what it is."""
LIBRARY_LICENCE = "uplot/LICENSE.txt"
CHARTS = "charts.js"
"""The script that shows the charts."""


def render_page(content: Mapping[str, Any]) -> str:
    """Return the page as HTML that needs no other files."""
    charts = content["charts"]
    parts = {
        "style": _joined([LIBRARY_STYLE, *STYLES] if charts else STYLES),
        "theme_script": _joined(THEME),
        "scripts": _joined([LIBRARY, *SCRIPTS, CHARTS] if charts else SCRIPTS),
        "chart_data": _script_data(charts.as_json()) if charts else "",
        "library_licence": asset(LIBRARY_LICENCE) if charts else "",
    }
    return _render("index.html.j2", {**content, **parts}, html=True)


def render_other(template: str, content: Mapping[str, Any]) -> str:
    """Return another page than that of a report, from *template*, with the same style and scripts but no charts."""
    parts = {"style": _joined(STYLES), "theme_script": _joined(THEME), "scripts": _joined(SCRIPTS)}
    return _render(template, {**content, **parts}, html=True)


def render_other_text(template: str, content: Mapping[str, Any]) -> str:
    """Return another text in Markdown than the summary of a report, from *template*."""
    return _render(template, content, html=False)


def render_summary(content: Mapping[str, Any]) -> str:
    """Return the summary in Markdown."""
    return _render("summary.md.j2", content, html=False)


def asset(name: str) -> str:
    """Return the text of a file in ``lab/report/assets``."""
    return resources.files("lab.report").joinpath("assets", name).read_text(encoding="utf-8")


def _joined(names: Sequence[str]) -> str:
    return "\n".join(map(asset, names))


def _script_data(value: Any) -> str:
    """Return *value* as JSON that cannot end the element of a page in which it is."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _render(template: str, content: Mapping[str, Any], *, html: bool) -> str:
    return _environment(html).get_template(template).render(**content)


@functools.cache
def _environment(html: bool) -> Environment:
    """Return the settings for pages or for Markdown, which keep the compiled templates for further pages."""
    environment = Environment(
        loader=PackageLoader("lab.report"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _markdown_cell
    return environment


def _markdown_cell(text: object) -> str:
    """Return *text* on one line, with escapes so that it is neither taken for markup nor ends a table cell."""
    escaped = str(text).replace("\\", "\\\\")
    for character in "|*_`<[":
        escaped = escaped.replace(character, "\\" + character)
    return " ".join(escaped.split())
