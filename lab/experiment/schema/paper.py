# SPDX-License-Identifier: Apache-2.0
"""The models of a file that lists the figures of a paper.  This module does no I/O."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lab.experiment.schema.base import Model
from lab.experiment.schema.report import Figure
from lab.experiment.schema.types import Name

__all__ = ["Paper", "PaperFigure", "PaperRun", "Style", "Width"]

Style = Literal["screen", "paper", "mono"]
Width = Literal["acm", "acm-double", "ieee", "ieee-double", "slide"]


class PaperRun(Model):
    """Where the results of figures come from: the folder of a run, or an experiment that is run if it has not been."""

    folder: str | None = Field(
        default=None,
        description="Folder of a run, relative to this file.",
        examples=["results/cubic_vs_bbr/latest"],
    )
    experiment: str | None = Field(
        default=None,
        description="Experiment file, relative to this file. The latest run of exactly this experiment is taken; if "
        "there is none, it is run.",
    )
    overrides: list[str] = Field(
        default=[],
        alias="set",
        description="Fields of the experiment to set, as with lab run --set.",
        examples=[["repeat=5", "engine=uml"]],
    )


class PaperFigure(Model):
    """One figure of the paper."""

    run: str = Field(description="Name of one of 'runs'.")
    figure: Figure | None = Field(default=None, description="The figure, as in the part 'report' of an experiment.")
    name: str | None = Field(
        default=None, description="Instead of 'figure': the name of a figure of the run's report.", examples=["cwnd"]
    )
    style: Style | None = Field(default=None, description="Style of this figure. Default: that of the paper.")
    width: Width | None = Field(default=None, description="Width of this figure. Default: that of the paper.")


class Paper(Model):
    """A file that lists the figures of a paper."""

    output: str = Field(default="figures", description="Folder of the figures, relative to this file.")
    style: Style = Field(
        default="paper",
        description="screen: as in reports; paper: smaller fonts; mono: without colours, for print in black and white.",
    )
    width: Width = Field(
        default="acm",
        description="Width of the figures. acm: 3.33 in, one column; acm-double: 7 in; ieee: 3.5 in; ieee-double: "
        "7.16 in; slide: 6 in.",
    )
    formats: Annotated[list[Literal["pdf", "svg", "png"]], Field(min_length=1)] = Field(
        default=["pdf"], description="File formats of each figure."
    )
    runs: dict[Name, PaperRun] = Field(min_length=1, description="Name → where the results come from.")
    figures: dict[Name, PaperFigure] = Field(min_length=1, description="Name of a file, without suffix → its figure.")
