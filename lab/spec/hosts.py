# SPDX-License-Identifier: Apache-2.0
"""What is special about hosts, routers and switches: sysctls, queues of their own, initial window.  Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping

from lab import protocol
from lab.spec.fields import Path
from lab.spec.graph import Graph
from lab.spec.models import HostSettings
from lab.spec.problems import Problem, nearest
from lab.units import show

__all__ = ["host_problems", "with_settings"]


def with_settings(nodes: tuple[protocol.Node, ...], hosts: Mapping[str, HostSettings]) -> list[protocol.Node]:
    """Return the nodes with what the patterns that fit them say; the later of two wins."""
    return [_with_settings(node, hosts) for node in nodes]


def _with_settings(node: protocol.Node, hosts: Mapping[str, HostSettings]) -> protocol.Node:
    fitting = [settings for pattern, settings in hosts.items() if fnmatch.fnmatchcase(node["name"], pattern)]
    if not fitting:
        return node
    found = protocol.NodeSettings(sysctls={}, initial_window=None, queue=None, offloads=None)
    for settings in fitting:
        found["sysctls"] = {**found["sysctls"], **settings.sysctl}
        found["initial_window"] = settings.initial_window or found["initial_window"]
        if settings.queue is not None:
            found["queue"] = protocol.Queue(
                discipline=settings.queue.discipline,
                limit_bytes=None,
                limit_packets=None,
                parameters=dict(settings.queue.parameters),
            )
        found["offloads"] = found["offloads"] if settings.offloads is None else settings.offloads
    return protocol.Node(name=node["name"], role=node["role"], settings=found)


def host_problems(hosts: Mapping[str, HostSettings], graph: Graph) -> Iterator[Problem]:
    """Yield the patterns that fit nothing."""
    names = [node["name"] for node in graph.nodes]
    for pattern in hosts:
        if not fnmatch.filter(names, pattern):
            here: Path = ("hosts", pattern)
            close = nearest(pattern, names)
            meant = f"; did you mean '{close}'?" if close else ""
            message = (
                f"found {show(pattern)}, which is no node's name; expected a name, or a pattern such as 's*'{meant}"
            )
            yield Problem(here, message, "key")
