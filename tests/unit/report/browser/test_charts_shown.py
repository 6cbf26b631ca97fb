# SPDX-License-Identifier: Apache-2.0
"""The charts of the page in a browser: zoom, values under the pointer, colours, and all of it by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import FloatRect, Locator, Page

from lab.evaluation.collected import retransmissions
from lab.report.charts.views import shown_repetitions
from lab.report.model import Report
from tests.unit.report.browser.conftest import Open

pytestmark = pytest.mark.browser

Reports = Callable[[str], Report]
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


def chart(page: Page, title: str) -> Locator:
    return page.locator(".chart").filter(has_text=re.compile(f"^{title}"))


def shown(page: Page) -> tuple[float, float]:
    """Return the part of the time axis that the charts show, in seconds."""
    found = re.fullmatch(r"([\d.]+) to ([\d.]+) s", page.locator(".explorer .range").inner_text())
    assert found is not None
    return float(found[1]), float(found[2])


def near(found: tuple[float, float], wanted: tuple[float, float]) -> bool:
    return all(abs(one - other) <= 0.03 for one, other in zip(found, wanted, strict=True))


def in_sight(one: Locator) -> FloatRect:
    """Scroll a chart into the middle of the window, and return where its curves are."""
    curves = one.locator(".u-over")
    curves.evaluate("element => element.scrollIntoView({ block: 'center', behavior: 'instant' })")
    place = curves.bounding_box()
    assert place is not None
    return place


def drag(page: Page, title: str, begin: float, end: float) -> None:
    """Drag over a part of a chart, given as shares of its width."""
    place = in_sight(chart(page, title))
    page.mouse.move(place["x"] + begin * place["width"], place["y"] + 60)
    page.mouse.down()
    page.mouse.move(place["x"] + end * place["width"], place["y"] + 70, steps=5)
    page.mouse.up()


def scales(page: Page) -> dict[str, dict[str, float]]:
    """Return where the first and the last pixel of each chart are on the time axis, as its tooltip says."""
    found = {}
    for element in page.locator(".chart").all():
        title = element.locator(".name").inner_text()
        box = in_sight(element)
        ends = []
        for x in (box["x"] + 1, box["x"] + box["width"] - 1):
            page.mouse.move(x, box["y"] + 50)
            ends.append(float(element.locator(".values > span").first.inner_text().removesuffix(" s")))
        found[title] = {"min": ends[0], "max": ends[1]}
    return found


@pytest.fixture
def page(opened: Open) -> Page:
    """The page of the captured experiment with losses, scrolled to its charts."""
    page = opened("loss")
    page.locator("#explorer").scroll_into_view_if_needed()
    return page


def test_there_is_a_chart_for_each_quantity_over_the_whole_time(page: Page) -> None:
    titles = [one.inner_text() for one in page.locator(".chart .name").all()]
    assert [re.split(" ?[▼○✕]", title)[0].replace("segments\n", "segments") for title in titles] == [
        "Congestion window segments", "In flight segments", "Smoothed RTT ms", "Goodput Mbit/s", "Pacing rate Mbit/s",
        "Bottleneck queue packets",
    ]  # fmt: skip
    begin, end = shown(page)
    assert begin == 0
    assert end >= 3
    options = [one.inner_text() for one in page.locator(".explorer option").all()]
    assert options == ["loss 0%", "loss 0.2%", "loss 2%"]


def test_dragging_zooms_into_all_charts(page: Page) -> None:
    _begin, end = shown(page)
    drag(page, "Congestion window", 0.25, 0.5)
    begin, until = shown(page)
    assert begin == pytest.approx(0.25 * end, abs=0.03)
    assert until == pytest.approx(0.5 * end, abs=0.03)
    for title, scale in scales(page).items():
        assert near((scale["min"], scale["max"]), (begin, until)), title
    # Further in, from another chart.
    drag(page, "Goodput", 0.5, 1)
    assert near(shown(page), ((begin + until) / 2, until))
    chart(page, "Smoothed RTT").locator(".u-over").dblclick()
    assert shown(page) == (0, end)
    for scale in scales(page).values():
        assert scale["max"] == pytest.approx(end, abs=0.03)


def test_buttons_zoom(page: Page) -> None:
    _begin, end = shown(page)
    page.get_by_role("button", name="Zoom in").click()
    assert near(shown(page), (end / 4, end * 3 / 4))
    page.get_by_role("button", name="Zoom out").click()
    assert shown(page) == (0, end)
    for _ in range(20):
        page.get_by_role("button", name="Zoom in").click()
    begin, until = shown(page)
    assert 0 < until - begin < end / 1000
    page.get_by_role("button", name="Show all").click()
    assert shown(page) == (0, end)


def test_keys_zoom_and_read_values(page: Page) -> None:
    _begin, end = shown(page)
    window = chart(page, "Congestion window")
    window.focus()
    page.keyboard.press("ArrowRight")
    first = window.locator(".values").inner_text()
    assert "cubic" in first
    assert "bbr" in first
    page.keyboard.press("ArrowRight")
    assert window.locator(".values").inner_text() != first
    page.keyboard.press("+")
    begin, until = shown(page)
    assert until - begin == pytest.approx(end / 2, abs=0.01)
    page.keyboard.press("Shift+ArrowLeft")
    assert shown(page)[0] == pytest.approx(begin - (until - begin) / 10, abs=0.01)
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert shown(page) == (0, end)
    page.keyboard.press("+")
    page.keyboard.press("Escape")
    assert shown(page) == (0, end)


@pytest.mark.parametrize(
    "share", [pytest.param(0.2, marks=pytest.mark.nightly), 0.5, pytest.param(0.9, marks=pytest.mark.nightly)]
)
def test_the_value_under_the_pointer_is_that_of_the_trial(share: float, page: Page, reports: Reports) -> None:
    window = chart(page, "Congestion window")
    place = in_sight(window)
    page.mouse.move(place["x"] + share * place["width"], place["y"] + 40)
    time, *values = [one.inner_text() for one in window.locator(".values > span").all()]
    report = reports("loss")
    seconds = float(time.removesuffix(" s"))
    assert seconds == pytest.approx(share * shown(page)[1], abs=0.05)
    found = {text.split()[0]: float(text.split()[1]) for text in values}
    rows = report.rows_of(report.facets[0])
    assert found.keys() == {row.series.label for row in rows}
    for row in rows:
        times, windows = row.median().curves()[0].cwnd
        # The time is rounded to 1 ms, within which a few ACKs may come.
        near = windows[np.searchsorted(times, seconds - 2e-3) : np.searchsorted(times, seconds + 2e-3) + 1]
        assert near.min() <= found[row.series.label] <= near.max()
    # The pointer is at the same time in all charts.
    for other in page.locator(".chart").all():
        assert other.locator(".values > span").first.inner_text() == time


def rgb(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.nightly), "dark"])
def test_each_series_has_the_colour_that_it_has_in_the_figures(scheme: str, opened: Open, reports: Reports) -> None:
    page = opened("loss", scheme=scheme)
    canvas = chart(page, "Congestion window").locator("canvas").element_handle()
    for row in reports("loss").rows_of(reports("loss").facets[0]):
        colour = rgb(row.series.look.solid_colour)
        assert page.evaluate(PAINTED, [canvas, colour]) > 100
        key = page.get_by_role("button", name=row.series.label, exact=True)
        assert key.locator(".swatch").evaluate("one => getComputedStyle(one).backgroundColor") == (
            f"rgb({colour[0]}, {colour[1]}, {colour[2]})"
        )
        # A click hides the curve, and another one shows it again.
        key.click()
        assert key.get_attribute("aria-pressed") == "false"
        assert page.evaluate(PAINTED, [canvas, colour]) == 0
        key.click()
        assert page.evaluate(PAINTED, [canvas, colour]) > 100


def test_axes_can_be_read_after_a_switch_to_dark(page: Page) -> None:
    canvas = chart(page, "Smoothed RTT").locator("canvas").element_handle()
    labels = {"light": [91, 96, 102], "dark": [162, 168, 174]}
    assert page.evaluate(PAINTED, [canvas, labels["light"]]) > 20
    page.locator("#theme").click()
    page.wait_for_timeout(100)
    assert page.evaluate(PAINTED, [canvas, labels["light"]]) < page.evaluate(PAINTED, [canvas, labels["dark"]])


def test_another_cell_has_other_curves(page: Page) -> None:
    drag(page, "Congestion window", 0.25, 0.5)
    before = shown(page)
    place = in_sight(chart(page, "Goodput"))
    page.mouse.move(place["x"] + 200, place["y"] + 40)
    first = chart(page, "Goodput").locator(".values").inner_text()
    page.locator(".explorer select").select_option(label="loss 2%")
    # The same part of the time axis, so that cells can be compared.
    assert shown(page) == before
    page.mouse.move(place["x"] + 201, place["y"] + 40)
    page.mouse.move(place["x"] + 200, place["y"] + 40)
    assert chart(page, "Goodput").locator(".values").inner_text() != first


def test_charts_follow_the_width_of_the_window(page: Page) -> None:
    wide = page.locator(".chart canvas").first.bounding_box()
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_timeout(300)
    narrow = page.locator(".chart canvas").first.bounding_box()
    assert wide is not None
    assert narrow is not None
    assert narrow["width"] <= 400 < wide["width"]


def test_several_flows_of_a_series_are_named_together(opened: Open) -> None:
    page = opened("fairness")
    window = chart(page, "Congestion window")
    window.focus()
    page.keyboard.press("ArrowRight")
    values = [one.inner_text() for one in window.locator(".values > span").all()][1:]
    assert len(values) == page.locator(".explorer .key").count()


def test_where_nothing_was_traced_there_are_no_charts(opened: Open) -> None:
    page = opened("udp")
    assert page.locator("#explorer").count() == 0
    assert page.evaluate("typeof uPlot") == "undefined"


def test_marks_of_retransmissions_are_named_and_counted_under_the_pointer(page: Page, reports: Reports) -> None:
    page.locator(".explorer select").select_option("2")
    window = chart(page, "Congestion window")
    assert "fast retransmit" in window.locator(".marks").inner_text()
    place = in_sight(window)
    (row, *_others) = reports("loss").rows_of(reports("loss").facets[2])
    trial = shown_repetitions([row])[0].evaluated.trial
    first = float(retransmissions(trial, "bulk")["fast"][0])
    page.mouse.move(place["x"] + first / shown(page)[1] * place["width"], place["y"] + 40)
    assert re.search(r"\d+ × fast retransmit", window.locator(".values").inner_text())
    # A hidden series takes its marks with it.
    for key in page.locator(".explorer .key").all():
        key.click()
    page.mouse.move(place["x"] + 3, place["y"] + 40)
    page.mouse.move(place["x"] + first / shown(page)[1] * place["width"], place["y"] + 40)
    assert "fast retransmit" not in window.locator(".values").inner_text()
