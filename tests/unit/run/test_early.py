# SPDX-License-Identifier: Apache-2.0
"""The means that a terminal shows while a run is on its way: those of the trials, from complete repetitions."""

from __future__ import annotations

import hashlib
import io
import math
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from lab.errors import EngineError
from lab.evaluation.early import EarlyRow
from lab.plan.plan import Plan
from lab.report.model import Report
from lab.run.early import MOST_ROWS, EarlyAnswer, means_table
from lab.run.progress import LiveObserver, PlainObserver
from lab.store.run import Run
from tests.data import capture


def shown(rows: list[EarlyRow] | tuple[EarlyRow, ...], cells: dict[str, str]) -> str:
    out = io.StringIO()
    table = means_table(rows, cells)
    assert table is not None
    Console(file=out, width=150).print(table)
    return out.getvalue()


def waited(answer: EarlyAnswer, number: int) -> tuple[EarlyRow, ...]:
    """Return the rows when there are as many as wanted."""
    until = time.monotonic() + 120
    while len(answer.rows()) < number:
        assert time.monotonic() < until
        time.sleep(0.02)
    return answer.rows()


@pytest.fixture
def plan() -> Plan:
    return capture.plan_of("loss")


def test_a_complete_repetition_of_all_cells_has_means(
    plan: Plan, replayed: Callable[[str], Run], reports: Callable[[str], Report]
) -> None:
    # Reports store what they evaluate, so this comes before.
    evaluated = {result.trial.id: result.metrics for result in reports("loss").done}
    folder = replayed("loss").path
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = [hashlib.sha256(path.read_bytes()).digest() for path in files]
    answer = EarlyAnswer(plan, folder)
    first = [trial for trial in plan.trials if trial.repetition == 1]
    for trial in first[:-1]:
        answer.ended(trial, cached=False)
    assert answer.table() is None
    answer.ended(first[-1], cached=False)
    rows = waited(answer, len(first))
    answer.close()
    for row in rows:
        flows = evaluated[row.trial]
        assert row.goodput_bps == pytest.approx(math.fsum(flow.goodput_bps or 0 for flow in flows) / len(flows))
    # Nothing was written.
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == files
    assert [hashlib.sha256(path.read_bytes()).digest() for path in files] == before


def test_neither_cached_repetitions_nor_the_last_one_are_evaluated(plan: Plan, tmp_path: Path) -> None:
    answer = EarlyAnswer(plan, tmp_path)
    last = max(trial.repetition for trial in plan.trials)
    for trial in plan.trials:
        answer.ended(trial, cached=trial.repetition < last)
    assert answer._process is None
    answer.close()


def test_the_table_has_means_over_repetitions_in_the_order_of_the_cells() -> None:
    cells = {"a-r1": "a", "a-r2": "a", "b-r1": "b", "b-r2": "b"}
    rows = [
        EarlyRow("b-r1", "bulk", "bbr", 8e6, 5000.0, 3),
        EarlyRow("a-r1", "bulk", "cubic", 4e6, None, 10),
        EarlyRow("a-r2", "bulk", "cubic", 5e6, None, 20),
    ]
    lines = [re.sub(r"\s+", " ", line).strip() for line in shown(rows, cells).splitlines()]
    assert lines[2:4] == ["a cubic 2 4.50 – 15", "b bbr 1 8.00 5.00 3"]
    many = {f"c{number}-r1": f"c{number}" for number in range(MOST_ROWS + 3)}
    text = shown([EarlyRow(trial, "cubic", "cubic", 1e6, 1.0, 0) for trial in many], many)
    assert "and 3 more" in text


def test_a_terminal_shows_the_means_and_plain_lines_do_not(plan: Plan, replayed: Callable[[str], Run]) -> None:
    out = io.StringIO()
    with LiveObserver(plan, Console(file=out, force_terminal=True, width=150, height=60)) as observer:
        observer.watch(replayed("loss").path)
        for trial in plan.trials:
            if trial.repetition == 1:
                observer.started(trial)
                # Failed trials complete a repetition, too.
                if trial is plan.trials[0]:
                    observer.failed(trial, EngineError("no"))
                else:
                    observer.finished(trial, 1.0, cached=False)
        assert observer._early is not None
        waited(observer._early, 1)
        observer._live.refresh()
    assert "means until now" in out.getvalue()
    plain = PlainObserver(plan, Console(file=io.StringIO()))
    plain.watch(replayed("loss").path)
