# SPDX-License-Identifier: Apache-2.0
"""``lab watch`` as a lecture has it: an algorithm of one's own in a virtual machine, and its page in a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from lab.cc.starter import algorithm_starter
from lab.engine.vm.engine import VmEngine
from tests.conftest import lab_command
from tests.unit.watch.test_page import PAINTED, reach

pytestmark = [pytest.mark.vm, pytest.mark.browser, pytest.mark.nightly]

LONGEST_S = 300
EXPERIMENT = """\
name: lecture
topology:
  kind: dumbbell
  bottleneck: {rate: 10mbit, delay: 10ms, queue: {discipline: pfifo, limit: 100p}}
flows:
  bulk: {from: s1, to: d1, cc: my_cc.bpf.c}
duration: 20s
"""


@pytest.fixture
def address(engine: VmEngine, tmp_path: Path) -> Iterator[str]:
    """The address that `lab watch` prints for an experiment with the delay-based starter."""
    (tmp_path / "my_cc.bpf.c").write_text(algorithm_starter("my_cc", "delay"))
    (tmp_path / "lecture.yaml").write_text(EXPERIMENT)
    process = subprocess.Popen(
        [str(lab_command()), "watch", "lecture.yaml", "--no-browser"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser.new_page(viewport={"width": 1280, "height": 1000})
        browser.close()


EVERYTHING = """() => new Promise(resolve => {
    const events = new EventSource("events");
    events.onmessage = message => { events.close(); resolve(JSON.parse(message.data).points); };
})"""
"""Script that returns all points so far, as a page gets them that is opened now."""


def largest(points: dict[str, Any], chart: str, since_s: float, until_s: float) -> float:
    """Return the largest value of the only curve of a chart between two times."""
    times, (values,) = points[chart]["t"], points[chart]["v"]
    return max(
        float(value)
        for time_ms, value in zip(times, values, strict=True)
        if since_s <= time_ms / 1000 < until_s and value is not None
    )


def test_what_the_algorithm_records_follows_the_slider(address: str, page: Page) -> None:
    page.set_default_timeout(LONGEST_S * 1000)
    page.goto(address)
    expect(page.get_by_role("button", name="Play")).to_be_enabled(timeout=LONGEST_S * 1000)
    page.get_by_label("Pace").select_option("")
    page.get_by_role("button", name="Play").click()
    reach(page, 5)
    own = page.locator(".chart").filter(has=page.get_by_text("lab_trace", exact=True))
    titles = [" ".join(one.inner_text().split()) for one in own.locator(".name").all()]
    assert titles == ["queued lab_trace", "base_rtt_us lab_trace"]
    for chart in own.all():
        canvas = chart.locator("canvas").element_handle()
        assert page.evaluate(PAINTED, [canvas, [0, 114, 178]]) > 100
    # The algorithm takes the longer way for a queue, because the smallest round trip that it has seen stays as it was.
    delay = page.get_by_role("slider", name="One-way delay").first
    delay.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    last = page.locator("#done li").last
    expect(last).to_have_text(re.compile("delay 30 ms"))
    changed_s = float(page.locator("#done li").first.inner_text().partition(" s")[0])
    reach(page, changed_s + 5)
    points = page.evaluate(EVERYTHING)
    assert largest(points, "own:queued", changed_s - 2, changed_s) <= 5
    assert largest(points, "own:queued", changed_s, changed_s + 3) >= 6
    assert largest(points, "own:base_rtt_us", 1, changed_s + 5) == pytest.approx(20_000, rel=0.05)
    assert largest(points, "goodput", changed_s + 2, changed_s + 5) < 5
    if "LAB_TEST_PICTURES" in os.environ:
        page.screenshot(path=Path(os.environ["LAB_TEST_PICTURES"], "watch.png"), full_page=True)
