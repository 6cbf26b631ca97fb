# SPDX-License-Identifier: Apache-2.0
"""Screenshots of the pages that commands have written, and of the page of ``lab watch`` while a trial runs."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

__all__ = ["SHOTS", "Shot", "take"]

_LONGEST_MS = 120_000
_WIDTH = 1280


@dataclass(frozen=True)
class Shot:
    """A part of a page."""

    name: str
    """The name of the picture."""
    caption: str
    page: str
    """The path of the page in the folder of the commands; for ``lab watch``, the experiment."""
    height: int
    """How much of the page is shown, in pixels."""
    watched_s: float | None = None
    """For ``lab watch``: the virtual time at which the picture is taken; None for a page in a file."""
    at: str = "body"
    """A CSS selector: where the part begins."""


_REPORT = "results/{}/latest/report/index.html"
_GRADES = "grades/aimd/{}"

SHOTS = {
    "the report of my_cc": Shot(
        "report", "The beginning of a report: the answer and the table of results", _REPORT.format("my_cc"), 760
    ),
    "the grade of ada": Shot(
        "grade", "A student's page: the points, and what was found", _GRADES.format("students/ada/index.html"), 900
    ),
    "the class": Shot("class", "The teacher's page: the points of all submissions", _GRADES.format("index.html"), 900),
    "the similar sources": Shot(
        "similar",
        "The teacher's page: what is worth a look, and similar sources",
        _GRADES.format("index.html"),
        620,
        at="#outliers",
    ),
    "a lecture": Shot(
        "watch", "A trial that is watched: sliders, and curves that grow", "lecture.yaml", 900, watched_s=12.0
    ),
}
"""What stands in a page's marker → the screenshot."""


def take(shot: Shot, work: Path) -> Image.Image:
    """Return the screenshot; *work* is the folder in which the commands have run."""
    with _url_of(shot, work) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), timeout=_LONGEST_MS)
        context = browser.new_context(viewport={"width": _WIDTH, "height": shot.height}, color_scheme="light")
        page = context.new_page()
        page.set_default_timeout(_LONGEST_MS)
        page.goto(url)
        if shot.watched_s is not None:
            _play(page, shot.watched_s)
        page.locator(shot.at).evaluate("element => element.scrollIntoView()")
        picture = page.screenshot()
        browser.close()
    return Image.open(io.BytesIO(picture))


@contextlib.contextmanager
def _url_of(shot: Shot, work: Path) -> Iterator[str]:
    if shot.watched_s is None:
        yield (work / shot.page).absolute().as_uri()
        return
    command = [".venv/bin/lab", "watch", shot.page, "--no-browser"]
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _play(page: Page, until_s: float) -> None:
    """Play the trial until the given virtual time."""
    page.get_by_role("button", name="Play").click()
    deadline = time.monotonic() + _LONGEST_MS / 1000
    while float(page.locator("#now").inner_text()) < until_s:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the trial does not go on: {page.locator('body').inner_text()}")
        page.wait_for_timeout(100)
    page.get_by_role("button", name="Pause").click()
