# SPDX-License-Identifier: Apache-2.0
"""By how much a condition may be missed."""

from __future__ import annotations

from dataclasses import dataclass

from lab.expect.meaning import Meaning
from lab.expect.quantities import parsed
from lab.units import show

__all__ = ["NONE", "Tolerance", "tolerance"]


@dataclass(frozen=True)
class Tolerance:
    """A share of the expected value, and an amount in bits and seconds; one of them is 0."""

    share: float = 0.0
    amount: float = 0.0
    text: str = ""
    """As written."""

    def of(self, limit: float) -> float:
        """Return by how much a value may miss *limit*."""
        return self.share * abs(limit) + self.amount


NONE = Tolerance()


def tolerance(text: str, meaning: Meaning) -> Tolerance:
    """Return the tolerance that a text such as ``5%`` or ``2ms`` stands for.

    Raises:
        ValueError: It is no quantity, or not of the dimension of what is observed.
    """
    found = parsed(text)
    if meaning.state is not None:
        raise ValueError(f"found {show(text)} for a condition on a state; expected none")
    if text.strip().endswith("%") and found is not None:
        return Tolerance(share=found[0], text=text)
    if found is None or found[1] != meaning.dimension:
        raise ValueError(f"found {show(text)}; expected a percentage, such as 5%, or {meaning.dimension}")
    return Tolerance(amount=found[0], text=text)
