# SPDX-License-Identifier: Apache-2.0
"""Which kernel to try next, and what follows from those that have been tried.  This module does no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "bad", "skipped"]
"""``skipped``: the results with this kernel cannot be judged, because trials failed or are invalid."""


@dataclass(frozen=True)
class Range:
    """Where the first bad kernel is, as places in the list of kernels."""

    last_good: int
    first_bad: int
    """The first kernel that is known to be bad."""
    untried: tuple[int, ...]
    """The kernels between both that have not been tried."""

    @property
    def is_exact(self) -> bool:
        """Whether no kernel is between the two."""
        return self.first_bad == self.last_good + 1

    @property
    def steps_left(self) -> int:
        """The largest number of kernels that may still have to be tried, if all of them can be judged."""
        return math.ceil(math.log2(len(self.untried) + 1))


def remaining(verdicts: Mapping[int, Verdict], number: int) -> Range:
    """Return where the first bad one of *number* kernels is.

    The first kernel of the list is good and the last one is bad; *verdicts* has what is known of the others.  Among
    several changes from good to bad, one is found, as with ``git bisect``.
    """
    good = max((place for place, verdict in verdicts.items() if verdict == "good" and place < number - 1), default=0)
    bad = min((place for place, verdict in verdicts.items() if verdict == "bad" and place > good), default=number - 1)
    return Range(good, bad, tuple(place for place in range(good + 1, bad) if place not in verdicts))


def next_place(found: Range) -> int | None:
    """Return the kernel to try next: the untried one that is nearest to the middle; None if none is left."""
    middle = (found.last_good + found.first_bad) / 2
    return min(found.untried, key=lambda place: (abs(place - middle), place), default=None)
