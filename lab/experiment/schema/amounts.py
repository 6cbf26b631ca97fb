# SPDX-License-Identifier: Apache-2.0
"""How much flows send, where it differs from one to the next: distributions, and how numbers are drawn from them.

Pure.  Drawing needs uniform numbers in (0, 1) alone, so that it is the same wherever it is done.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema

from lab.experiment.schema.base import Model
from lab.experiment.schema.contents import content_of
from lab.experiment.schema.short import Or
from lab.experiment.schema.types import SizeBytes
from lab.units import parse_size, show

__all__ = ["Amount", "FixedSize", "ParetoSizes", "SizeTable", "SizesFile", "draw", "parse_sizes"]

MAX_POINTS = 100_000
MOST_BYTES = 2**31 - 1


@dataclass(frozen=True)
class SizeTable:
    """An empirical distribution: sizes that rise, and the probability that one is no larger than each."""

    sizes: tuple[int, ...]
    cumulative: tuple[float, ...] | None
    """None: each of the sizes is as likely as the others, and there is nothing between them."""

    def quantile(self, u: float) -> int:
        """Return the size at *u* in (0, 1); with probabilities, linear between the points."""
        if self.cumulative is None:
            return self.sizes[int(u * len(self.sizes))]
        at = bisect.bisect_left(self.cumulative, u)
        if at == 0:
            return self.sizes[0]
        low, high = self.cumulative[at - 1], self.cumulative[at]
        return round(self.sizes[at - 1] + (u - low) / (high - low) * (self.sizes[at] - self.sizes[at - 1]))


def parse_sizes(text: str) -> SizeTable:
    """Return the distribution that a file has: on each line a size, or a size and a cumulative probability.

    Raises:
        ValueError: It is none; the text names the line, what it is and what would be right.
    """
    rows: list[tuple[int, float | None]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or (rows and (rows[0][1] is None) != (len(words) == 1)):
            expected = "a size and a probability, as before" if rows and rows[0][1] is not None else "a size"
            raise ValueError(f"line {number}: found {show(line.strip())}; expected {expected}")
        size, probability = _size(number, words[0]), _probability(number, words[1]) if len(words) == 2 else None
        if probability is not None and rows:
            before = rows[-1]
            if size < before[0] or probability <= (before[1] or 0.0):
                raise ValueError(f"line {number}: found {show(line.strip())}; expected both to rise from line to line")
        rows.append((size, probability))
        if len(rows) > MAX_POINTS:
            raise ValueError(f"line {number}: found more than {MAX_POINTS} sizes")
    if not rows:
        raise ValueError("found no size; expected one on each line")
    if rows[-1][1] is None:
        return SizeTable(tuple(size for size, _ in rows), None)
    if rows[-1][1] != 1.0:
        raise ValueError(f"found {rows[-1][1]:g} as the last probability; expected 1, for no flow is larger")
    return SizeTable(tuple(size for size, _ in rows), tuple(float(probability or 0.0) for _, probability in rows))


def _size(number: int, word: str) -> int:
    try:
        # The files that researchers share have bytes without a unit.
        size = int(word) if word.isdigit() else parse_size(word)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    if not 1 <= size <= MOST_BYTES:
        raise ValueError(f"line {number}: found {show(word)}; expected from 1 B to {MOST_BYTES} B")
    return size


def _probability(number: int, word: str) -> float:
    try:
        probability = float(word)
    except ValueError:
        probability = -1.0
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"line {number}: found {show(word)}; expected a cumulative probability, from 0 to 1")
    return probability


class FixedSize(Model):
    """All the same."""

    distribution: Literal["fixed"] = Field(description="All the same.")
    size: SizeBytes = Field(description="How much.")


class ParetoSizes(Model):
    """Pareto's: most are small, a few are very large."""

    distribution: Literal["pareto"] = Field(description="Pareto's, of the first kind.")
    mean: SizeBytes = Field(description="Of the distribution, before what is above 'largest' is cut.")
    shape: Annotated[float, Field(gt=1.0, le=100.0)] = Field(
        default=1.2, description="The smaller, the heavier its tail; above 1, for else there is no mean."
    )
    largest: SizeBytes = Field(
        default=100_000_000,
        description="What is larger counts as this.",
        json_schema_extra={"default": "100MB"},
    )


def _sizes(value: Any, info: ValidationInfo) -> SizeTable:
    if isinstance(value, SizeTable):
        return value
    table: SizeTable = content_of("sizes", value, info)
    return table


class SizesFile(Model):
    """An empirical distribution."""

    distribution: Literal["file"] = Field(description="Of a file.")
    file: Annotated[
        SizeTable, PlainValidator(_sizes), WithJsonSchema({"type": "string", "examples": ["sizes/web.txt"]})
    ] = Field(
        description="Its path, relative to the experiment file. On each line a size, each as likely as the others; or "
        "a size and the probability that one is no larger, linear between."
    )


def _as_fixed(value: Any) -> Any:
    fixed = value is None or isinstance(value, Mapping | Model)
    return value if fixed else {"distribution": "fixed", "size": value}


Amount = Annotated[
    Annotated[FixedSize | ParetoSizes | SizesFile, Field(discriminator="distribution")],
    BeforeValidator(_as_fixed),
    Or(SizeBytes),
]


def draw(amount: FixedSize | ParetoSizes | SizesFile, uniform: Sequence[float]) -> list[int]:
    """Return a size in bytes for each number in (0, 1)."""
    if isinstance(amount, FixedSize):
        return [amount.size] * len(uniform)
    if isinstance(amount, SizesFile):
        return [max(1, amount.file.quantile(u)) for u in uniform]
    least = amount.mean * (amount.shape - 1) / amount.shape
    return [min(amount.largest, max(1, round(least * (1 - u) ** (-1 / amount.shape)))) for u in uniform]
