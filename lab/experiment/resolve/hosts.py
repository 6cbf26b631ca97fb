# SPDX-License-Identifier: Apache-2.0
"""Give nodes their own settings: sysctls, queue, offloads, initial window.  This module does no I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from lab.experiment.schema.experiment import HostSettings
from lab.job import protocol

__all__ = ["with_settings"]


def with_settings(nodes: tuple[protocol.Node, ...], hosts: Mapping[str, HostSettings]) -> list[protocol.Node]:
    """Return the nodes with the settings of all patterns that match them.

    If two patterns give the same setting, the later one in the file applies.
    """
    return [_with_settings(node, hosts) for node in nodes]


def _with_settings(node: protocol.Node, hosts: Mapping[str, HostSettings]) -> protocol.Node:
    fitting = [settings for pattern, settings in hosts.items() if fnmatch.fnmatchcase(node["name"], pattern)]
    if not fitting:
        return protocol.Node(name=node["name"], role=node["role"])
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
