# SPDX-License-Identifier: Apache-2.0
"""Distributions of the amount that a flow sends, and how sizes are drawn from them.

This module does no I/O.  Sizes are computed from uniform random numbers in (0, 1) that the caller provides, so that the
same numbers always give the same sizes.
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
    """An empirical distribution of sizes: a list of sizes, or a cumulative distribution function (CDF)."""

    sizes: tuple[int, ...]
    """Sizes in bytes; those of a CDF are in ascending order."""
    cumulative: tuple[float, ...] | None
    """The probability, for each size, that a flow is no larger.  None: the listed sizes occur, all equally likely."""

    def quantile(self, u: float) -> int:
        """Return the size at the quantile *u* in (0, 1); a CDF is interpolated linearly between its points."""
        if self.cumulative is None:
            return self.sizes[int(u * len(self.sizes))]
        at = bisect.bisect_left(self.cumulative, u)
        if at == 0:
            return self.sizes[0]
        low, high = self.cumulative[at - 1], self.cumulative[at]
        return round(self.sizes[at - 1] + (u - low) / (high - low) * (self.sizes[at] - self.sizes[at - 1]))


def parse_sizes(text: str) -> SizeTable:
    """Parse a file of sizes; each line has a size, or a size and a cumulative probability.

    Raises:
        ValueError: The file is not valid; the message names the line, what was found and what was expected.
    """
    rows: list[tuple[int, float | None]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or (rows and (rows[0][1] is None) != (len(words) == 1)):
            has_probabilities = bool(rows) and rows[0][1] is not None
            expected = "a size and a probability, as in the lines before" if has_probabilities else "a size"
            raise ValueError(f"line {number}: found {show(line.strip())}; expected {expected}")
        size, probability = _size(number, words[0]), _probability(number, words[1]) if len(words) == 2 else None
        if probability is not None and rows:
            before = rows[-1]
            if size < before[0] or probability <= (before[1] or 0.0):
                found = f"line {number}: found {show(line.strip())}"
                raise ValueError(f"{found}; expected sizes that do not decrease, and probabilities that increase")
        rows.append((size, probability))
        if len(rows) > MAX_POINTS:
            raise ValueError(f"line {number}: found more than {MAX_POINTS} sizes; expected fewer")
    if not rows:
        raise ValueError("found no size; expected one on each line")
    if rows[-1][1] is None:
        return SizeTable(tuple(size for size, _ in rows), None)
    if rows[-1][1] != 1.0:
        raise ValueError(f"found {rows[-1][1]:g} as the last probability; expected 1, because no flow is larger")
    return SizeTable(tuple(size for size, _ in rows), tuple(float(probability or 0.0) for _, probability in rows))


def _size(number: int, word: str) -> int:
    try:
        # A number without a unit is allowed here: files of flow sizes that researchers share give bytes in this way.
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
    """The same size for each flow."""

    distribution: Literal["fixed"] = Field(description="The same size for each flow.")
    size: SizeBytes = Field(description="The size of each flow.")


class ParetoSizes(Model):
    """Pareto-distributed sizes: most are small, a few are very large."""

    distribution: Literal["pareto"] = Field(description="The Pareto distribution of the first kind (type I).")
    mean: SizeBytes = Field(description="Mean of the distribution before sizes above 'largest' are reduced to it.")
    shape: Annotated[float, Field(gt=1.0, le=100.0)] = Field(
        default=1.2,
        description="Shape parameter: the smaller it is, the heavier is the tail. It is greater than 1, because "
        "otherwise the distribution has no mean.",
    )
    largest: SizeBytes = Field(
        default=100_000_000,
        description="Largest size; a larger size is reduced to this one.",
        json_schema_extra={"default": "100MB"},
    )


def _sizes(value: Any, info: ValidationInfo) -> SizeTable:
    if isinstance(value, SizeTable):
        return value
    table: SizeTable = content_of("sizes", value, info)
    return table


class SizesFile(Model):
    """An empirical distribution of sizes, read from a file."""

    distribution: Literal["file"] = Field(description="The distribution in a file.")
    file: Annotated[
        SizeTable, PlainValidator(_sizes), WithJsonSchema({"type": "string", "examples": ["sizes/web.txt"]})
    ] = Field(
        description="Path of the file, relative to the experiment file. Each line has either a size (all sizes are "
        "equally likely), or a size and the probability that a flow is no larger (interpolated linearly)."
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
    """Return a size in bytes for each of the *uniform* random numbers in (0, 1)."""
    if isinstance(amount, FixedSize):
        return [amount.size] * len(uniform)
    if isinstance(amount, SizesFile):
        return [max(1, amount.file.quantile(u)) for u in uniform]
    least = amount.mean * (amount.shape - 1) / amount.shape
    return [min(amount.largest, max(1, round(least * (1 - u) ** (-1 / amount.shape)))) for u in uniform]
