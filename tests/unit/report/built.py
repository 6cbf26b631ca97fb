# SPDX-License-Identifier: Apache-2.0
"""Reports of captured runs, and pages read as HTML."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lab.report import build_report
from lab.store.run import Run

VOID = {"meta", "img", "br", "link"}


@dataclass
class Page(HTMLParser):
    """A page's tables, figures and texts; whatever is not nested as it should be is an error."""

    tables: list[list[list[str]]] = field(default_factory=list)
    """Of each the rows, of each the cells' texts; what is in a span of its own follows a bar."""
    paper: list[list[list[str]]] = field(default_factory=list)
    """The tables that only paper has: parts of those that are too wide for it."""
    figures: dict[str, str] = field(default_factory=dict)
    """Id → where the picture is."""
    links: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    sections: list[str] = field(default_factory=list)
    """Id of the heading, of the second level, above each table."""
    headings: list[str] = field(default_factory=list)
    """Ids of the headings of the second level, in their order."""
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._figure = ""
        self._rows = self.tables

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.add(given["id"] or "")
        if tag == "figure":
            self._figure = given["id"] or ""
        if tag == "img":
            assert given["alt"]
            self.figures[self._figure] = given["src"] or ""
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag == "h2":
            self.headings.append(given["id"] or "")
        if tag == "table":
            is_paper = "part" in (given.get("class") or "").split()
            self._rows = self.paper if is_paper else self.tables
            self._rows.append([])
            if not is_paper:
                self.sections.append(self.headings[-1] if self.headings else "")
        if tag == "tr":
            self._rows[-1].append([])
        if tag in ("td", "th"):
            self._rows[-1][-1].append("")
        if tag == "span" and "td" in self._open:
            self._rows[-1][-1][-1] += "|"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            return
        self.text += data
        if "td" in self._open or "th" in self._open:
            self._rows[-1][-1][-1] += data.strip()

    def tables_in(self, section: str) -> list[list[list[str]]]:
        """Return the tables below the heading with this id."""
        return [table for table, place in zip(self.tables, self.sections, strict=True) if place == section]

    @classmethod
    def of(cls, path: Path) -> Page:
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        page.close()
        assert not page._open
        page.text = " ".join(page.text.split())
        return page


def quick(figure: Figure, folder: Path, name: str) -> None:
    """Instead of drawing a figure, which takes most of the time."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("svg", "pdf", "png"):
        (folder / f"{name}.{suffix}").write_text(
            f'<svg width="504pt" height="172.8pt"><!-- {name} {len(figure.axes)} --></svg>'
        )


def build(run: Run, into: Path, change: Callable[[Path], None] = lambda _run: None) -> tuple[Path, Page]:
    """Build the report of a copy of a run, changed before if need be; returns the run's folder and the page."""
    copy = into / run.experiment / run.path.name
    shutil.copytree(run.path, copy)
    change(copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.report.figures.saving.save", quick)
        index = build_report(copy)
    assert index == copy / "report" / "index.html"
    return copy, Page.of(index)
