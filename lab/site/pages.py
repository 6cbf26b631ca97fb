# SPDX-License-Identifier: Apache-2.0
"""The front page of a site, and its summary in Markdown for the page of a CI job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from lab.report.page.render import render_other, render_other_text
from lab.site.entries import GOOD, VERDICTS, Entry
from lab.words import listed

CLASSES = {
    "failed": "invalid", "not met": "invalid", "invalid": "invalid", "incomplete": "warn", "warning": "warn",
    "passed": "ok",
}  # fmt: skip
"""Verdict → the class of the page's style that it has."""

_SHOWN = ("goodput-vs-", "goodput", "latency")
"""How the names of figures begin that the summary prefers."""


def headline(entries: Sequence[Entry]) -> str:
    """Return in one sentence how the runs went, and name those that did not go well."""
    bad = [entry.experiment for entry in entries if entry.verdict not in GOOD]
    number = f"{len(entries)} run{'s' if len(entries) != 1 else ''}"
    if not bad:
        return f"{number}: all passed."
    names = listed(list(dict.fromkeys(bad)))
    return f"{len(bad)} of {number} did not pass: {names}."


def front_page(title: str, entries: Sequence[Entry], others: Sequence[Path]) -> str:
    """Return the page that links the reports of all runs, and the files *others* at the top of the site."""
    return render_other(
        "site.html.j2",
        {
            "title": title,
            "headline": headline(entries),
            "entries": ordered(entries),
            "classes": CLASSES,
            "others": [path.name for path in others],
        },
    )


def summary(title: str, entries: Sequence[Entry], url: str | None) -> str:
    """Return the front page in Markdown.

    With *url*, the address at which the site is published, it has links to the reports, and a figure of each.
    """
    base = None if url is None else url.rstrip("/")
    return render_other_text(
        "site.md.j2",
        {
            "title": title,
            "headline": headline(entries),
            "entries": ordered(entries),
            "address": {entry.place: f"{base}/{quote(entry.place)}/report" for entry in entries} if base else {},
            "figure": {entry.place: _figure(entry) for entry in entries},
            "good": GOOD,
        },
    )


def ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Return the runs with the worst verdict first."""
    return sorted(entries, key=lambda entry: (VERDICTS.index(entry.verdict), entry.experiment, entry.id))


def _figure(entry: Entry) -> str:
    """Return the name of the figure that says most; empty if there is none."""
    for beginning in _SHOWN:
        for name in entry.figures:
            if name.startswith(beginning):
                return name
    return entry.figures[0] if entry.figures else ""
