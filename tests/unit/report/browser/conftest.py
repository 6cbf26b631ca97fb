# SPDX-License-Identifier: Apache-2.0
"""Pages of captured runs, opened in Debian's chromium."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from lab.report import build_report
from lab.store.run import Run
from tests.unit.report.built import build

Open = Callable[..., Page]
SCREEN: ViewportSize = {"width": 1280, "height": 900}
LONGEST_MS = 120_000
"""How long a test waits for the browser at most, in milliseconds: on a busy machine, it may have to wait long."""
DRAWN = ("loss", "everything")
"""Experiments whose figures are drawn; those of the others have no content, which saves most of the time."""


@pytest.fixture(scope="session")
def index_of(replayed: Callable[[str], Run], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of the page of an experiment's report."""

    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp("browsed")
        if name not in DRAWN:
            return build(replayed(name), folder)[0] / "report" / "index.html"
        copy = folder / name / "run"
        shutil.copytree(replayed(name).path, copy)
        return build_report(copy)

    @functools.cache
    def path_of(name: str) -> Path:
        # The runs are made with asyncio, which Playwright already uses in this thread.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(made, name).result()

    return path_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), timeout=LONGEST_MS)
        yield launched
        launched.close()


@dataclass
class Watched:
    """A page, with what it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, context: BrowserContext, index: Path) -> Watched:
        """Open a page in a new tab."""
        watched = cls(context.new_page())
        watched.page.set_default_timeout(LONGEST_MS)
        watched.page.on("request", lambda request: watched.requests.append(request.url))
        watched.page.on("console", lambda message: watched.complaints.append(f"{message.type}: {message.text}"))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.goto(index.as_uri())
        return watched


@pytest.fixture(scope="module")
def seen(browser: Browser, index_of: Callable[[str], Path]) -> Iterator[Callable[[str], Watched]]:
    """The page of an experiment, which several tests look at; none of them may leave it changed."""
    contexts: list[BrowserContext] = []

    @functools.cache
    def open_page(name: str) -> Watched:
        contexts.append(browser.new_context(viewport=SCREEN, color_scheme="light"))
        return Watched.open(contexts[-1], index_of(name))

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def opened(browser: Browser, index_of: Callable[[str], Path]) -> Iterator[Open]:
    """A function that opens the page of an experiment for one test; a complaint of a page is a failure."""
    opened: list[Watched] = []

    def open_page(name: str, width: int = SCREEN["width"], scheme: str = "light", *, scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={**SCREEN, "width": width},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
        )
        opened.append(Watched.open(context, index_of(name)))
        return opened[-1].page

    yield open_page
    for watched in opened:
        watched.page.context.close()
        assert watched.complaints == []
