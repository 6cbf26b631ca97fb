# SPDX-License-Identifier: Apache-2.0
"""The page in a browser: it asks for nothing, fits every screen and paper, and can be used in every way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from playwright.sync_api import Page

from lab.report.tables.parts import MOST_COLUMNS
from tests.data.capture import names
from tests.unit.report.browser.conftest import DRAWN, SCREEN, Open, Watched

pytestmark = pytest.mark.browser

MAX_BYTES = 8_000_000
A4_PX = 695
"""Width of a sheet less its margins, at 96 pixels per inch."""

TOO_FAR_RIGHT = """() => [...document.querySelectorAll("table, td, th, img, pre, figure")]
    .filter(one => one.getBoundingClientRect().width > 0 && one.getBoundingClientRect().right > innerWidth + 1)
    .map(one => one.outerHTML.slice(0, 90))"""


PAGES = [name if name in DRAWN else pytest.param(name, marks=pytest.mark.nightly) for name in names()]
"""The experiments whose pages are looked at; by day only those that have most of what a page can have."""


def background(page: Page, selector: str = "body") -> tuple[int, ...]:
    colour = page.eval_on_selector(selector, "one => getComputedStyle(one).backgroundColor")
    return tuple(int(part) for part in re.findall(r"\d+", colour)[:3])


@pytest.fixture
def unfolded(seen: Callable[[str], Watched]) -> Iterator[Callable[[str, int], Page]]:
    """A page with all details open, in a window of some width; afterwards it is as it was."""
    changed: list[Page] = []

    def change(name: str, width: int) -> Page:
        page = seen(name).page
        changed.append(page)
        page.set_viewport_size({**SCREEN, "width": width})
        page.evaluate(
            "for (const one of document.querySelectorAll('details:not([open])')) one.open = one.wasFolded = true"
        )
        return page

    yield change
    for page in changed:
        page.evaluate("for (const one of document.querySelectorAll('details')) if (one.wasFolded) one.open = false")
        page.emulate_media(media="screen")
        page.set_viewport_size(SCREEN)


@pytest.mark.parametrize("name", PAGES)
def test_it_asks_for_nothing_and_complains_of_nothing(name: str, seen: Callable[[str], Watched]) -> None:
    watched = seen(name)
    watched.page.wait_for_load_state("networkidle")
    assert {urlparse(url).scheme for url in watched.requests} <= {"file", "data"}
    assert len([url for url in watched.requests if url.startswith("file:")]) == 1
    assert watched.complaints == []
    assert place(watched.page).stat().st_size < MAX_BYTES


def place(page: Page) -> Path:
    return Path(unquote(urlparse(page.url).path))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str, seen: Callable[[str], Watched]) -> None:
    page = seen(name).page
    links: list[str] = page.eval_on_selector_all("a", "all => all.map(one => one.getAttribute('href'))")
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(links) > 10
    assert len(ids) == len(set(ids))
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (place(page).parent / unquote(link)).exists(), link
    # Each trial's raw files are one click away.
    linked = {(place(page).parent / unquote(link)).resolve() for link in links if link.startswith("../")}
    for trial in (place(page).parents[1] / "trials").iterdir():
        assert {path.resolve() for path in trial.iterdir() if path.is_file()} <= linked
        for path in trial.glob("iperf3/*.json"):
            assert path.resolve() in linked or path.parent.resolve() in linked


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_only_boxes_inside_of_the_page_scroll_sideways(
    name: str, width: int, unfolded: Callable[[str, int], Page]
) -> None:
    page = unfolded(name, width)
    assert page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]") == [width, width]


@pytest.mark.parametrize("name", PAGES)
def test_no_column_is_cut_on_paper(name: str, unfolded: Callable[[str, int], Page]) -> None:
    page = unfolded(name, A4_PX)
    page.emulate_media(media="print")
    assert page.evaluate(TOO_FAR_RIGHT) == []
    assert page.evaluate("document.documentElement.scrollWidth") == A4_PX
    shown = "all => all.filter(one => one.checkVisibility()).length"
    assert page.eval_on_selector_all("#explorer, .top, .command button, .filter, .links", shown) == 0


@pytest.mark.parametrize("name", PAGES)
def test_tables_on_paper_are_large_enough_to_read(name: str, unfolded: Callable[[str, int], Page]) -> None:
    page = unfolded(name, A4_PX)
    page.emulate_media(media="print")
    visible = "all.filter(one => one.checkVisibility())"
    sizes = page.eval_on_selector_all("td", f"all => {visible}.map(one => parseFloat(getComputedStyle(one).fontSize))")
    # 7.5 points, at 96 pixels for 72 points.
    assert min(sizes) >= 7.5 * 96 / 72 - 0.01
    widths = page.eval_on_selector_all("thead tr", f"all => {visible}.map(one => one.cells.length)")
    assert max(widths, default=0) <= MOST_COLUMNS + 1


@pytest.mark.parametrize("name", PAGES)
def test_each_figure_says_what_it_shows(name: str, seen: Callable[[str], Watched]) -> None:
    figures = seen(name).page.eval_on_selector_all(
        "figure", "all => all.map(one => [one.querySelector('img').alt, one.querySelector('figcaption').innerText])"
    )
    for alt, caption in figures:
        assert len(alt) > 40, alt
        assert alt[:30] not in caption
        assert caption[:30] not in alt


@pytest.mark.parametrize("name", PAGES)
def test_headings_and_landmarks_are_in_order(name: str, seen: Callable[[str], Watched]) -> None:
    page = seen(name).page
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.get_by_role("banner").count() == 1
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("navigation", name="Sections").count() == 1
    # Each section has a name: that of its heading, or one of its own.
    named = page.eval_on_selector_all(
        "section", "all => all.map(one => one.getAttribute('aria-label') || one.querySelector(':scope > h2').id)"
    )
    labels = page.eval_on_selector_all(
        "section", "all => all.map(one => one.getAttribute('aria-label') || one.getAttribute('aria-labelledby'))"
    )
    assert named == labels
    assert len(labels) == len(set(labels)) > 3
    listed = page.eval_on_selector_all("nav a", "all => all.map(one => one.getAttribute('href').slice(1))")
    assert listed == page.eval_on_selector_all("h2", "all => all.map(one => one.id)")


def test_paper_is_white_in_the_dark(opened: Open) -> None:
    page = opened("loss", A4_PX, "dark")
    page.locator("#theme").click()
    page.locator("#theme").click()
    assert max(background(page)) < 60
    page.emulate_media(media="print")
    assert background(page) == (255, 255, 255)
    assert page.eval_on_selector(".paper", "one => getComputedStyle(one).filter") == "none"


def test_without_scripts_everything_is_there(opened: Open) -> None:
    page = opened("loss", scripts=False)
    assert page.locator("#results").is_visible()
    assert all(image.is_visible() for image in page.locator("figure img").all())
    rows = page.locator("table.trials tbody tr")
    assert rows.count() == 18
    assert all(row.is_visible() for row in rows.all())
    for works_only_with_scripts in ("#explorer", "#theme", ".filter", "th button", ".command button"):
        assert not any(one.is_visible() for one in page.locator(works_only_with_scripts).all())


def test_dark_and_light_follow_the_system_until_the_reader_chooses(opened: Open) -> None:
    page = opened("loss", scheme="dark")
    assert max(background(page)) < 60
    # Figures stay on white.
    assert background(page, "figure img") == (255, 255, 255)
    page.emulate_media(color_scheme="light")
    assert background(page) == (255, 255, 255)
    page.get_by_role("button", name="Switch to dark colours").click()
    assert max(background(page)) < 60
    page.reload()
    assert max(background(page)) < 60
    page.get_by_role("button", name="Switch to light colours").click()
    assert background(page) == (255, 255, 255)
    page.emulate_media(color_scheme="dark")
    page.reload()
    assert background(page) == (255, 255, 255)


def test_the_switch_works_where_nothing_can_be_remembered(opened: Open) -> None:
    page = opened("loss")
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('none'); } });")
    page.reload()
    page.get_by_role("button", name="Switch to dark colours").click()
    assert max(background(page)) < 60


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it."""

    def luminance(colour: Any) -> Any:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return float((high + 0.05) / (low + 0.05))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme: str, opened: Open) -> None:
    page = opened("everything", scheme=scheme)
    for selector in (
        "p",
        ".soft",
        "a",
        "nav a",
        ".tag.ok",
        ".tag.warn",
        ".tag.invalid",
        "figcaption",
        "td",
        "th",
        ".quiet",
    ):
        for one in page.locator(selector).all()[:3]:
            found = one.evaluate("one => getComputedStyle(one).color")
            colour = [int(part) for part in re.findall(r"\d+", found)[:3]]
            assert contrast(colour, background(page)) >= 4.5, (selector, colour)


def test_the_command_is_copied(opened: Open) -> None:
    page = opened("loss")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    box = page.locator(".command").first
    box.get_by_role("button", name="Copy").click()
    box.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "lab run experiment.yaml"


def test_the_command_is_copied_without_a_clipboard(opened: Open) -> None:
    page = opened("loss")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.locator(".command").nth(1).get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "lab verify ."


def test_a_link_to_a_trial_opens_its_checks(opened: Open) -> None:
    page = opened("loss")
    checks = page.locator("#trial-cubic-loss-2pct-r1 table")
    assert not checks.is_visible()
    page.locator("table.trials").get_by_role("link", name="cubic-loss-2pct-r1").click()
    assert checks.is_visible()


def test_everything_is_reached_by_keyboard(opened: Open) -> None:
    page = opened("loss", 400)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    seen = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        focused = page.evaluate("""() => {
            const one = document.activeElement, style = getComputedStyle(one);
            return [one.tagName + "." + one.className, style.outlineStyle, parseFloat(style.outlineWidth)];
        }""")
        if focused[0].startswith("BODY"):
            break
        seen.add(focused[0])
        assert focused[1] not in ("none", "hidden"), focused
        assert focused[2] >= 1, focused
    assert {"SELECT.", "BUTTON.key", "DIV.chart", "DIV.scroll", "BUTTON.quiet", "SUMMARY.", "A.", "BUTTON."} <= seen
