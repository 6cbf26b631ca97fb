# SPDX-License-Identifier: Apache-2.0
"""Count the parts of an experiment's job, which tell how much memory the job takes, without making it.  No I/O."""

from __future__ import annotations

from lab.experiment.resolve.graph import graph_of
from lab.experiment.resolve.traffic import connections
from lab.experiment.resolve.wires import ramp_steps
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.links import ListedLoss

__all__ = ["MAX_PARTS", "parts_of"]

MAX_PARTS = 2_000_000
"""The largest number of parts in the jobs of all trials together.

A part takes 0.5 to 1.6 kB of memory when a plan is made, most in a plan of many cells with small networks.
"""
_ARRIVALS_PER_PART = 10
"""The number of short flows, of which a job has two numbers each, that take as much memory as another part."""

_LISTED_PER_PART = 50
"""The same for the packets that a link loses because their numbers are listed."""


def parts_of(experiment: Experiment) -> int:
    """Return the number of nodes, directions of links, changes of schedules and flows in a job of *experiment*.

    Ten short flows, and 50 listed packets, count as one part.
    """
    graph = graph_of(experiment.topology)
    steps = (step for edge in graph.edges for step in (*edge.link.schedule, *edge.link.reverse.schedule))
    flows = connections(experiment.flows, experiment.duration)
    arrivals = sum(
        one.flow.arrivals.per_second * one.duration_ns / 1e9 for one in flows if one.flow.arrivals is not None
    )
    losses = (loss for edge in graph.edges for loss in (edge.link.loss, edge.link.reverse.loss))
    listed = sum(len(loss.packets) for loss in losses if isinstance(loss, ListedLoss))
    return (
        len(graph.nodes)
        + 2 * len(graph.edges)
        + sum(map(ramp_steps, steps))
        + len(flows)
        + round(arrivals / _ARRIVALS_PER_PART)
        + listed // _LISTED_PER_PART
    )
