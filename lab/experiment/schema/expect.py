# SPDX-License-Identifier: Apache-2.0
"""The expectations of an experiment: conditions on what its trials measure.  This module does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from lab.experiment.schema.base import Model
from lab.experiment.schema.short import Or
from lab.units import show

__all__ = ["Expectation", "Expected"]


class Expectation(Model):
    """A condition on metrics that is checked at the end of a run."""

    that: str = Field(
        min_length=1,
        description="The condition.",
        examples=["goodput(cc=bbr) >= 0.8 * link.rate"],
    )
    name: str = Field(default="", description="What the expectation is called in reports. Default: the condition.")
    because: str = Field(default="", description="Why this is expected.")
    source: str = Field(
        default="",
        description="Where the expected value comes from, such as an RFC.",
        examples=["RFC 9438, section 4.6"],
    )
    tolerance: str | None = Field(
        default=None,
        description="By how much the condition may be missed: a percentage of the expected value, or a quantity with "
        "its unit. Default: not at all.",
        examples=["5%", "2ms"],
    )


def _as_mapping(value: Any) -> Any:
    if isinstance(value, str):
        return {"that": value}
    if not isinstance(value, Mapping | Model):
        found = f"found {show(value)}; expected a condition, such as 'jain >= 0.95', or a mapping with 'that'"
        raise ValueError(found)
    return value


Expected = Annotated[Expectation, BeforeValidator(_as_mapping), Or(str)]
"""An expectation, which may be written as its condition alone."""
