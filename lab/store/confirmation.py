# SPDX-License-Identifier: Apache-2.0
"""How the results of a run compare with those of another engine: the content of ``confirmation.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True)
class Confirmed:
    """The comparison of one quantity, for one group of flows in one cell, between both engines."""

    cell: str
    group: str
    quantity: str
    found: float
    """Mean over the repetitions of the run that is to be confirmed."""
    confirming: float
    """Mean over the repetitions on the other engine."""
    chance: float
    """Largest difference between the two means that chance may explain."""
    agrees: bool
    """Whether the difference may be due to chance, or is too small to matter."""

    def __str__(self) -> str:
        verdict = "agree" if self.agrees else "DIFFER"
        means = f"{self.found:.4g} and {self.confirming:.4g}"
        return f"{self.cell}, {self.group}: {self.quantity} {means} {verdict} (chance: up to {self.chance:.3g})"


class Confirmation(TypedDict):
    """The shape of ``confirmation.json``; its comparisons are objects with the fields of :class:`Confirmed`."""

    engine: str
    kernel: str
    run: str
    comparisons: list[Confirmed]
