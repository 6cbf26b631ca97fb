# SPDX-License-Identifier: Apache-2.0
"""The page of ``lab watch`` in a browser; the trial is that of an engine whose numbers are known."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.unit.watch.conftest import Running, run

pytestmark = pytest.mark.browser

LONGEST_MS = 60_000
PAINTED = """([canvas, colour]) => {
    const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    copy.canvas.width = canvas.width;
    copy.canvas.height = canvas.height;
    copy.drawImage(canvas, 0, 0);
    const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
    const near = (at) => [0, 1, 2].every(part => Math.abs(data[at + part] - colour[part]) < 9) && data[at + 3] > 200;
    return data.filter((_value, at) => at % 4 === 0 && near(at)).length;
}"""
"""Script that counts the pixels of a canvas that have a colour."""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), timeout=LONGEST_MS)
        yield launched
        launched.close()


@pytest.fixture
def tracing(tmp_path: Path) -> Iterator[Running]:
    """A session whose algorithm records values."""
    yield from run(tmp_path, own={b"queued": -3, b"rate": 2_500_000})


@pytest.fixture
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """A function that opens the page; a complaint of the page is a failure, and so is a request to elsewhere."""
    running: Running = request.getfixturevalue("tracing" if "tracing" in request.fixturenames else "running")
    complaints: list[str] = []
    pages: list[Page] = []

    def open_page(width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(LONGEST_MS)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        own = (running.server.url, "data:")
        page.on("request", lambda one: None if one.url.startswith(own) else complaints.append(f"asks for {one.url}"))
        page.goto(running.server.url)
        expect(page.get_by_role("button", name="Play")).to_be_enabled(timeout=LONGEST_MS)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert complaints == []


def seconds(page: Page) -> float:
    return float(page.locator("#now").inner_text())


def reach(page: Page, wanted: float) -> None:
    """Wait until the page shows a time; its policy forbids the waiting that Playwright would do by itself."""
    end = time.monotonic() + LONGEST_MS / 1000
    while seconds(page) < wanted:
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def test_play_pause_and_the_curves(opened: Open) -> None:
    page = opened()
    titles = [one.inner_text() for one in page.locator(".chart .name").all()]
    assert [" ".join(title.split()) for title in titles] == [
        "Congestion window segments", "Smoothed RTT ms", "Goodput Mbit/s", "Queue packets",
    ]  # fmt: skip
    page.get_by_role("button", name="Play").click()
    reach(page, 2)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.locator("#status")).to_have_text("Paused.")
    reached = seconds(page)
    page.wait_for_timeout(500)
    assert seconds(page) == reached
    assert [cell.inner_text() for cell in page.locator(".values-now tbody td").all()][:3] == ["7.0", "50.0", "4.0"]
    for canvas in page.locator("canvas").all():
        assert any(
            page.evaluate(PAINTED, [canvas.element_handle(), colour]) > 50 for colour in ([0, 114, 178], [91, 75, 181])
        )


def test_what_an_algorithm_records_has_charts(tracing: Running, opened: Open) -> None:
    page = opened()
    own = page.locator(".chart").filter(has=page.get_by_text("lab_trace", exact=True))
    assert own.count() == 0
    page.get_by_role("button", name="Play").click()
    reach(page, 2)
    expect(own).to_have_count(2)
    titles = [" ".join(one.inner_text().split()) for one in own.locator(".name").all()]
    assert titles == ["queued lab_trace", "rate lab_trace"]
    for chart in own.all():
        canvas = chart.locator("canvas").element_handle()
        assert page.evaluate(PAINTED, [canvas, [0, 114, 178]]) > 50
    expect(own.first).to_have_attribute("aria-label", re.compile("^queued .*: bulk -3.0$"))
    expect(own.last).to_have_attribute("aria-label", re.compile("^rate .*: bulk 2500000$"))
    expect(page.locator("#more-names")).to_be_hidden()
    # A page that is loaded again has the charts, and a new trial begins without them.
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.reload()
    expect(own).to_have_count(2)
    page.get_by_role("button", name="Start again").click()
    expect(own).to_have_count(0)


def test_the_pace_is_kept(opened: Open) -> None:
    page = opened()
    page.get_by_label("Pace").select_option("10 ×")
    page.get_by_role("button", name="Play").click()
    reach(page, 20)
    expect(page.locator("#status")).to_have_text("The traffic has ended.")
    expect(page.get_by_role("button", name="Play")).to_be_disabled()
    for slider in page.locator("input[type=range]").all():
        assert slider.is_disabled()
    # From the beginning, with everything as it was.
    page.get_by_role("button", name="Start again").click()
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    assert seconds(page) < 1


def test_sliders_by_keyboard_and_what_is_saved(opened: Open, running: Running, tmp_path: Path) -> None:
    page = opened()
    rate = page.get_by_role("slider", name="Rate", exact=True).first
    assert rate.get_attribute("aria-valuetext") == "10 Mbit/s"
    page.get_by_role("button", name="Play").click()
    reach(page, 1)
    rate.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(rate).to_have_attribute("aria-valuetext", "4 Mbit/s")
    expect(page.locator("#done li").last).to_have_text(re.compile(r"^\d+\.\d s: topology\.bottleneck, rate 4 Mbit/s$"))
    # The space bar belongs to a control that has the focus, and otherwise to the time.
    page.locator("h1").click()
    page.keyboard.press("Space")
    expect(page.locator("#status")).to_have_text("Paused.")
    page.get_by_role("button", name="Save as experiment").click()
    expect(page.locator("#saved pre").first).to_have_text(f"lab run {tmp_path}/lecture_watched.yaml")
    assert "rate: 4mbit" in page.locator("#saved pre").last.inner_text()
    assert (tmp_path / "lecture_watched.yaml").is_file()


def test_a_page_that_is_loaded_again_shows_everything(opened: Open, running: Running) -> None:
    page = opened()
    page.get_by_label("Pace").select_option("5 ×")
    page.get_by_role("button", name="Play").click()
    reach(page, 5)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    before = seconds(page)
    page.reload()
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    assert seconds(page) == before
    expect(page.locator(".chart").nth(2)).to_have_attribute("aria-label", re.compile("bulk 4.0$"))
    assert running.thread.is_alive()


def test_a_mistake_is_shown(opened: Open, running: Running) -> None:
    page = opened()
    # As if the experiment had its own schedule at this time.
    page.evaluate("window.fetch = async () => new Response(JSON.stringify({ error: 'the link is <busy>' }))")
    page.get_by_role("button", name="Save as experiment").click()
    expect(page.locator("#status")).to_have_text("the link is <busy>")
    expect(page.locator("#status")).to_have_class(re.compile("wrong"))


@pytest.mark.parametrize("width", [320, 500, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(width: int, scheme: str, opened: Open) -> None:
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for control in page.locator("button:visible, select, input, summary").all():
        box = control.bounding_box()
        assert box is None or box["x"] + box["width"] <= width + 1


def test_every_control_has_a_name(opened: Open) -> None:
    page = opened()
    for control in page.locator("button:visible, select, input[type=range]").all():
        name = control.evaluate("one => one.labels && one.labels.length ? one.labels[0].textContent : one.innerText")
        assert name.strip()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))


def test_the_end_of_the_session_is_shown(opened: Open, running: Running) -> None:
    page = opened()
    for updates in running.session._pages:
        updates.put(None)
    expect(page.locator("#status")).to_have_text("lab watch has ended.")
    expect(page.get_by_role("button", name="Play")).to_be_disabled()
