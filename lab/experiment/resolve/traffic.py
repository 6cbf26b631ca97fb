# SPDX-License-Identifier: Apache-2.0
"""Expand declared flows into single connections.  This module does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lab.experiment.schema.experiment import Flow

__all__ = ["Connection", "connections", "connections_of"]


_KEPT = 64
"""The number of flows whose connections are kept."""


@dataclass(frozen=True)
class Connection:
    """One pair of an iperf3 client and server, or one series of short flows."""

    name: str
    group: str
    """The name of the declared flow."""
    source: str
    """The host that sends data."""
    destination: str
    initiator: Literal["source", "destination"]
    start_ns: int
    duration_ns: int
    flow: Flow


_LAST: dict[tuple[str, int], tuple[Flow, tuple[Connection, ...]]] = {}
"""Name of a flow and duration of its experiment → the last such flow, and its connections."""


def connections(flows: Mapping[str, Flow], duration_ns: int) -> list[Connection]:
    """Return the connections of all declared flows, in the order of the file."""
    return [connection for name, flow in flows.items() for connection in connections_of(name, flow, duration_ns)]


def connections_of(name: str, flow: Flow, duration_ns: int) -> list[Connection]:
    """Return the connections of one declared flow, numbered in the order of their start if there are several."""
    # Most of the steps for a cell ask for the connections of its flows, and flows cannot change.
    key = (name, duration_ns)
    known = _LAST.get(key)
    if known is None or known[0] is not flow:
        if len(_LAST) >= _KEPT:
            _LAST.clear()
        known = _LAST[key] = (flow, tuple(_connections_of(name, flow, duration_ns)))
    return list(known[1])


def _connections_of(name: str, flow: Flow, duration_ns: int) -> Iterator[Connection]:
    for number in range(1, flow.count + 1):
        numbered = f"{name}-{number}" if flow.count > 1 else name
        client, server = (end.replace("{i}", str(number)) for end in (flow.source, flow.destination))
        begin = flow.start + (number - 1) * flow.every
        for part, start_ns, length_ns in _times(flow, begin, duration_ns):
            full = f"{numbered}{part}"
            if flow.direction in ("forward", "both"):
                suffix = "-there" if flow.direction == "both" else ""
                yield Connection(f"{full}{suffix}", name, client, server, "source", start_ns, length_ns, flow)
            if flow.direction in ("reverse", "both"):
                suffix = "-back" if flow.direction == "both" else ""
                # The server sends the data, on a connection that the client opens.
                yield Connection(f"{full}{suffix}", name, server, client, "destination", start_ns, length_ns, flow)


def _times(flow: Flow, begin: int, duration_ns: int) -> Iterator[tuple[str, int, int]]:
    """Yield a suffix for the name, the start and the length of each period in which a flow sends, in nanoseconds."""
    length = duration_ns - begin if flow.duration is None else flow.duration
    if flow.on is None:
        yield "", begin, length
        return
    end, start, number = begin + length, begin, 1
    while start + flow.on <= end:
        yield f"-on{number}", start, flow.on
        start += flow.on + (flow.off or 0)
        number += 1
