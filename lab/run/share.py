# SPDX-License-Identifier: Apache-2.0
"""Divide the trials of a plan into shares, which several machines run at the same time.

In virtual time, a trial gives the same record on every machine.  The records of all shares, put into one cache of
trials, are therefore those that one machine would have made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lab.plan.plan import Plan

_TEXT = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Share:
    """One of several shares of about the same size."""

    number: int
    """Which of them it is, counted from 1."""
    of: int
    """How many there are."""

    def part_of(self, plan: Plan) -> Plan:
        """Return *plan* with the trials of this share only; each trial of the plan is in exactly one share.

        Trials that stand next to each other in the plan go to different shares, because they take about the same time.
        """
        return replace(plan, trials=plan.trials[self.number - 1 :: self.of])


def parse_share(text: str) -> Share:
    """Return the share that a text such as ``2/4`` means, the second of four.

    Raises:
        ValueError: It means none.
    """
    found = _TEXT.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise ValueError(f"found {text!r}; expected K/N, such as 2/4 for the second of four shares")
    return Share(int(found[1]), int(found[2]))
