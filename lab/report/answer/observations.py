# SPDX-License-Identifier: Apache-2.0
"""The numbers of a run, arranged by what the experiment varies: factors, quantities and observations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FactorKind = Literal["algorithm", "kernel", "flows", "named", "numeric"]
"""What a factor varies.  The levels of ``flows`` are flows of the same trial, which compete with each other; those of
``numeric`` are numbers in rising or falling order."""


@dataclass(frozen=True)
class Factor:
    """Something that the experiment varies."""

    name: str
    """Short name, such as ``loss``."""
    kind: FactorKind
    levels: tuple[str, ...]
    """The values as text, in the order of the experiment, or, if they are numbers, in rising order."""

    def at(self, level: str) -> str:
        """Return where something holds, such as ``at loss 1%``, ``with cubic`` or ``with queue fq_codel``."""
        if self.kind in ("algorithm", "flows"):
            return f"with {level}"
        return f"{'at' if self.kind == 'numeric' else 'with'} {self.name} {level}"

    def label(self, level: str) -> str:
        """Return the level as a noun: ``cubic``, ``fq_codel``, ``loss 1%``."""
        return f"{self.name} {level}" if self.kind == "numeric" else level


@dataclass(frozen=True)
class Quantity:
    """A quantity that contestants are compared by."""

    name: str
    """Name with the article that it has in a sentence, such as ``goodput`` or ``the p95 latency of echo``."""
    unit: str
    better: Literal["higher", "lower"]
    digits: int = 3
    is_ratio: bool = True
    """Whether values are compared by their ratio; otherwise, such as for an index from 0 to 1, by their difference."""
    is_share_of_link: bool = False
    """Whether a value is also given as a share of the bottleneck's rate."""


@dataclass(frozen=True)
class Observation:
    """The value of a quantity in one trial."""

    levels: Mapping[str, str]
    """Name of a factor → its level."""
    repetition: int
    """Number of the repetition; observations of the same repetition share their random numbers (a block)."""
    value: float
    share: float | None = None
    """The value as a share of the bottleneck's rate."""
    is_exact: bool = False
    """Whether nothing is random in this cell, so that all its repetitions have this value."""


@dataclass(frozen=True)
class Measured:
    """All observations of one quantity, and the factors that vary among them."""

    quantity: Quantity
    factors: tuple[Factor, ...]
    observations: tuple[Observation, ...]
