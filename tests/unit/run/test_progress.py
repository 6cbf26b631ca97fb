# SPDX-License-Identifier: Apache-2.0
"""What stays visible on a terminal when the display in place is gone."""

from __future__ import annotations

import io

from rich.console import Console

from lab.engine.base import Notice
from lab.run.progress import LiveObserver
from tests.conftest import plan_of


def test_a_notice_stays_and_a_step_does_not() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200)
    observer = LiveObserver(plan_of(), console)
    observer.step("template: booting the guest")
    observer.step(Notice("the template is damaged"))
    assert "the template is damaged" in out.getvalue()
    assert "booting" not in out.getvalue()
