# SPDX-License-Identifier: Apache-2.0
"""Tables of the page in a browser: sorted by their headings, and filtered."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from lab.report.page.render import asset
from tests.unit.report.browser.conftest import Open

pytestmark = pytest.mark.browser


def column(table: Locator, place: int) -> list[str]:
    """Return the texts of a column, without what is in smaller print, of the rows that are visible."""
    found: list[str] = table.locator("tbody tr:not([hidden])").evaluate_all(
        "(rows, place) => rows.map(row => (row.cells[place].firstChild?.textContent ?? '').trim())",
        place,
    )
    return found


def heading(page: Page, text: str) -> tuple[Locator, Locator, int]:
    """Return the table of results, the button in one of its headings, and the place of the heading."""
    table = page.locator("section[aria-labelledby=results] table.data")
    titles = table.locator("thead th").evaluate_all("all => all.map(one => one.textContent)")
    place = next(at for at, title in enumerate(titles) if title.startswith(text))
    return table, table.locator("thead th").nth(place).get_by_role("button"), place


def test_a_heading_sorts_by_number_up_down_and_back(opened: Open) -> None:
    page = opened("loss")
    table, button, place = heading(page, "Goodput")
    before = column(table, place)
    sort = [one.get_attribute("aria-sort") for one in table.locator("thead th").all()]
    assert sort == ["none"] * len(sort)
    button.click()
    assert column(table, place) == sorted(before, key=float) != before
    assert [one.get_attribute("aria-sort") for one in table.locator("thead th").all()].count("ascending") == 1
    button.click()
    assert column(table, place) == sorted(before, key=float, reverse=True)
    assert table.locator("thead th").nth(place).get_attribute("aria-sort") == "descending"
    # Rows stay whole.
    loss, _button, loss_place = heading(page, "loss")
    pairs = set(zip(column(loss, loss_place), column(table, place), strict=True))
    button.click()
    assert column(table, place) == before
    assert table.locator("thead th").nth(place).get_attribute("aria-sort") == "none"
    assert set(zip(column(loss, loss_place), column(table, place), strict=True)) == pairs


def test_a_heading_sorts_by_keyboard(opened: Open) -> None:
    page = opened("loss")
    table, button, place = heading(page, "Flow")
    button.focus()
    page.keyboard.press("Enter")
    assert column(table, place) == ["bbr"] * 3 + ["cubic"] * 3
    page.keyboard.press("Space")
    assert column(table, place) == ["cubic"] * 3 + ["bbr"] * 3


SORTED = {
    "counts": ["−3", "0", "7", "1,024", "–"],
    "buffers": ["0.25bdp", "2bdp", "16bdp", "", ""],
    "rates": ["500kbit", "4mbit", "10mbit", "1gbit", "–"],
    "times": ["900 µs", "5 ms", "40 ms", "1 s", "2 s"],
    "sizes": ["512 B", "10 kB", "1.5 MB", "2 MB", "1 GB"],
    "words": ["aqm", "bfifo 9", "bfifo 10", "codel", "pie"],
    "several units": ["2bdp", "10 ms", "64 kB", "–", ""],
    "not all numbers": ["2 ms", "10 ms", "none of them", "–", ""],
    "percent": ["0.05%", "0.2%", "2%", "10%", "100%"],
}
"""Columns in ascending order; what is missing comes last."""


@pytest.mark.parametrize("name", SORTED)
def test_numbers_are_compared_as_numbers_whatever_their_unit(name: str, browser: Browser, tmp_path: Path) -> None:
    given = SORTED[name][::2] + SORTED[name][1::2]
    rows = "".join(f"<tr><td>{value}<span class=spread>± 900</span></td></tr>" for value in reversed(given))
    (tmp_path / "table.html").write_text(
        f"<!doctype html><meta charset=utf-8><div class=scroll><table class=data><thead><tr><th>x</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><script>{asset('tables.js')}</script>",
        encoding="utf-8",
    )
    page = browser.new_page()
    page.goto((tmp_path / "table.html").as_uri())
    page.get_by_role("button", name="x").click()
    found = column(page.locator("table"), 0)
    page.close()
    wanted = [one for one in SORTED[name] if one not in ("", "–")]
    assert found[: len(wanted)] == wanted
    assert set(found[len(wanted) :]) <= {"± 900", "–"}


def test_a_long_table_is_filtered_by_words(opened: Open) -> None:
    page = opened("loss")
    table = page.locator("table.trials")
    box = page.locator(".scroll:has(table.trials)").locator("xpath=preceding-sibling::*[1]")
    field, status = box.get_by_role("searchbox", name="Filter"), box.get_by_role("status")
    assert len(column(table, 0)) == 18
    field.fill("BBR -2pct")
    assert column(table, 0) == [f"bbr-loss-2pct-r{number}" for number in (1, 2, 3)]
    assert status.inner_text() == "3 of 18 rows"
    # Sorting keeps the filter.
    table.get_by_role("button", name="Trial").click()
    assert column(table, 0) == [f"bbr-loss-2pct-r{number}" for number in (1, 2, 3)]
    field.fill("nothing like this")
    assert column(table, 0) == []
    field.fill("")
    assert len(column(table, 0)) == 18


def test_a_short_table_has_no_field(opened: Open) -> None:
    page = opened("loss")
    before = page.locator("section[aria-labelledby=results] .filter")
    assert before.count() == 0
    assert len(column(heading(page, "loss")[0], 0)) == 6
