# SPDX-License-Identifier: Apache-2.0
"""Check the keys of ``hosts:``, which are names of nodes or patterns.  This module does no I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping

from lab.experiment.check.problems import Problem, nearest
from lab.experiment.resolve.graph import Graph
from lab.experiment.schema.experiment import HostSettings
from lab.experiment.schema.fields import Path
from lab.units import show

__all__ = ["host_problems"]


def host_problems(hosts: Mapping[str, HostSettings], graph: Graph) -> Iterator[Problem]:
    """Yield a problem for each pattern that matches no node."""
    names = [node["name"] for node in graph.nodes]
    for pattern in hosts:
        if not fnmatch.filter(names, pattern):
            here: Path = ("hosts", pattern)
            close = nearest(pattern, names)
            meant = f"; did you mean '{close}'?" if close else ""
            message = (
                f"found {show(pattern)}, which matches no node; expected a node's name, or a pattern such as "
                f"'s*'{meant}"
            )
            yield Problem(here, message, "key")
