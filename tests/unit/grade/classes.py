# SPDX-License-Identifier: Apache-2.0
"""An assignment whose scenario is a captured experiment, and submissions to it: grading without virtual machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.grade.assignment.read import Loaded, read_assignment
from lab.grade.scenario.task import Report, Task
from lab.grade.scenario.work import carry_out
from tests.data.capture import EXPERIMENTS

ASSIGNMENT = """\
name: lossy_link
title: A lossy link
submission:
  mine.yaml: {kind: experiment, may_change: [matrix.flows.bulk.cc, title, report]}
  answers.yaml: {kind: answers, optional: true}
scenarios:
  loss: scenarios/loss.yaml
rubric:
  goodput:
    points: 6
    scenario: loss
    value: goodput(cc=bbr)
    full: 1.1 * link.rate
    none: 0.1 * link.rate
  met:
    points: 2
    scenario: loss
    that: goodput(cc=bbr, loss=2%) >= goodput(cc=cubic)
  rate:
    points: 1
    scenario: loss
    answer: rate
    value: link.rate
    full: 1%
    none: 10%
  better:
    points: 1
    answer: better
    choice: BBR
  why:
    points: 2
    question: Why is it better?
"""

STARTER = "extends: scenarios/loss.yaml\n"
HIDDEN = """\
scenarios:
  again: again.yaml
rubric:
  secret:
    points: 3
    scenario: again
    that: goodput(cc=cubic) >= 2 * link.rate
"""
SOURCE = "int main(void) { return 0; }\n"


def write_assignment(folder: Path, text: str = ASSIGNMENT, *, hidden: str | None = None) -> Path:
    """Write an assignment with the captured experiment ``loss`` as its scenario, and return its folder."""
    (folder / "scenarios").mkdir(parents=True)
    (folder / "scenarios" / "loss.yaml").write_bytes((EXPERIMENTS / "loss.yaml").read_bytes())
    (folder / "assignment.yaml").write_text(text)
    (folder / "mine.yaml").write_text(STARTER)
    (folder / "answers.yaml").write_text("# your answers\nrate:\n")
    (folder / "my_cc.bpf.c").write_text(SOURCE)
    (folder / "handout.md").write_text("# A lossy link\n\nDo *it*.\n")
    if hidden is not None:
        (folder / "teacher").mkdir()
        (folder / "teacher" / "hidden.yaml").write_text(hidden)
        (folder / "teacher" / "again.yaml").write_text("extends: ../scenarios/loss.yaml\n")
    return folder


def loaded_assignment(folder: Path, text: str = ASSIGNMENT, *, hidden: str | None = None) -> Loaded:
    """Return an assignment that was written to *folder*."""
    return read_assignment(write_assignment(folder, text, hidden=hidden))


async def in_this_process(
    tasks: Sequence[Task], at_a_time: Sequence[Sequence[int]], done: Callable[[Task, Report], None]
) -> None:
    """Do what :func:`lab.grade.scenario.pool.run_tasks` does, in threads of this process."""
    assert at_a_time
    for task in tasks:
        own = replace(task, processors=list(at_a_time[0]))
        done(task, await asyncio.to_thread(carry_out, own))
