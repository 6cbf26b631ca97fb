# SPDX-License-Identifier: Apache-2.0
"""The figures that an experiment asks for in its report.  This module does no I/O."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lab.experiment.schema.base import Model

__all__ = ["FIGURE_KINDS", "Figure", "MetricName", "OverTime", "Report", "Sample"]

MetricName = Literal[
    "goodput", "utilisation", "queueing_delay", "queueing_delay_p95", "srtt", "srtt_p95", "retransmitted",
    "retransmits", "dropped", "marked", "reductions", "cwnd", "jain", "fct", "fct_p95", "datagrams_lost", "jitter",
]  # fmt: skip
"""A metric: one number of a flow in a trial."""

OverTime = Literal["cwnd", "srtt", "goodput", "queue", "pacing_rate", "in_flight"]
"""A quantity that changes while traffic runs."""

Sample = Literal["latency", "completions", "cwnd", "srtt", "goodput", "queue", "pacing_rate", "in_flight"]
"""What a distribution is made of: requests of probes, short flows, or the values of a quantity over time."""

_AXIS = "An axis of the matrix, by its path or the last part of it, such as limit"


class _Figure(Model):
    title: str = Field(default="", description="Title above the figure. Default: none.")


class TimeFigure(_Figure):
    """A quantity over time, with a panel for each cell."""

    kind: Literal["time"] = Field(description="A quantity over time.")
    y: OverTime = Field(default="cwnd", description="The quantity.")


class CdfFigure(_Figure):
    """Cumulative distributions, with a line for each cell or series."""

    kind: Literal["cdf"] = Field(description="Cumulative distributions.")
    y: Sample = Field(
        description="What the distribution is made of. latency: round-trip times of probes; completions: completion "
        "times of short flows; others: values over time, each as long as it was in force."
    )


class BoxFigure(_Figure):
    """Boxes or violins, with one for each cell or series."""

    kind: Literal["box", "violin"] = Field(
        description="box: quartiles, median, p5 and p95; violin: the density, with the median."
    )
    y: Sample = Field(description="What the distribution is made of, as for a cdf.")


class HeatmapFigure(_Figure):
    """A metric as colours over two axes of the matrix, with a panel for each series."""

    kind: Literal["heatmap"] = Field(description="A metric over two axes of the matrix.")
    x: str = Field(description=f"{_AXIS}.")
    y: str = Field(description=f"{_AXIS}; another one than x.")
    z: MetricName = Field(default="goodput", description="The metric that the colour shows.")


class AgainstFigure(_Figure):
    """A metric against an axis of the matrix or against another metric, with intervals."""

    kind: Literal["against"] = Field(description="A metric against an axis or another metric.")
    x: str = Field(description=f"{_AXIS}, or the name of a metric.")
    y: MetricName = Field(default="goodput", description="The metric on the y-axis.")


class CellsFigure(_Figure):
    """Metrics by cell: a line for each series of each cell, with intervals."""

    kind: Literal["cells"] = Field(description="Metrics by cell.")
    y: Annotated[list[MetricName], Field(min_length=1)] = Field(
        default=["goodput", "queueing_delay"],
        description="The metrics, each in a column of its own. Default: goodput and queueing_delay.",
    )


class DelayFigure(_Figure):
    """Goodput against queueing delay, with an ellipse for each cell; the better corner is marked."""

    kind: Literal["goodput-vs-delay"] = Field(description="Goodput against queueing delay.")


class PhaseFigure(_Figure):
    """One quantity against another at the same time."""

    kind: Literal["phase"] = Field(description="One quantity against another at the same time.")
    x: OverTime = Field(default="cwnd", description="The quantity on the x-axis.")
    y: OverTime = Field(default="srtt", description="The quantity on the y-axis.")


class JainFigure(_Figure):
    """Jain's index of the goodput of all flows that run at a time, over time."""

    kind: Literal["jain"] = Field(description="Jain's index over time.")


class ShareFigure(_Figure):
    """The share of each group of flows in the goodput of all, against the number of flows."""

    kind: Literal["share"] = Field(description="Share of goodput against the number of flows.")


Figure = Annotated[
    TimeFigure
    | CdfFigure
    | BoxFigure
    | HeatmapFigure
    | AgainstFigure
    | CellsFigure
    | DelayFigure
    | PhaseFigure
    | JainFigure
    | ShareFigure,
    Field(discriminator="kind"),
]

FIGURE_KINDS = (
    "time",
    "cdf",
    "box",
    "violin",
    "heatmap",
    "against",
    "cells",
    "goodput-vs-delay",
    "phase",
    "jain",
    "share",
)
"""The kinds of figures."""


class Report(Model):
    """What the report of the experiment contains.  It has no effect on trials."""

    figures: list[Figure] = Field(
        default=[],
        description="Figures of the report, before those that it has anyway.",
        examples=[[{"kind": "against", "x": "limit", "y": "queueing_delay"}, {"kind": "time", "y": "queue"}]],
    )
    defaults: bool = Field(
        default=True, description="Whether the report also has the figures that it has without 'figures'."
    )
