# SPDX-License-Identifier: Apache-2.0
"""Let the host watch a trial and change its links while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from lab.agent.collectors.recording import TICK_NS
from lab.agent.topology.network import Network
from lab.agent.traffic.accounts import data_port
from lab.job.protocol import Flow
from lab.job.watched import WATCHED_TICK_NS, Control, Frame, Layout, WatchedFlow, WatchedQueue, packed

Changes = list[tuple[int, Callable[[], None]]]


class Rows(Protocol):
    """Something that records rows while traffic runs."""

    @property
    def name(self) -> str:
        """The name of its table in the record."""

    def layout(self) -> Layout:
        """Return what the rows consist of."""

    def take(self) -> bytes:
        """Return the rows that have been drained so far, and remove them from the record."""


class Onlooker(Protocol):
    """Somebody who is told what happens in a trial."""

    tick_ns: int
    """The time between two calls of :meth:`tick` at the least, in nanoseconds."""

    def say(self, message: str) -> None:
        """Take note of a step of the trial."""

    def changes(self, network: Network) -> Changes:
        """Return (time in ns from the start of traffic, function that applies it) for each change of a link."""

    def begin(self, network: Network, recorders: Sequence[Rows], start_ns: int) -> None:
        """Take note that traffic is about to start; ``start_ns`` is that time on CLOCK_MONOTONIC."""

    def tick(self, now_ns: int, next_ns: int) -> int:
        """Take note that the recorders have been drained at ``now_ns``; return when they must be drained again.

        Without the onlooker, that would be at ``next_ns``.
        """


class Nobody:
    """The onlooker of a trial that is not watched.  Implements :class:`Onlooker`."""

    tick_ns = TICK_NS

    def say(self, message: str) -> None:
        """Do nothing."""

    def changes(self, network: Network) -> Changes:
        """Return the scheduled changes."""
        return network.changes()

    def begin(self, network: Network, recorders: Sequence[Rows], start_ns: int) -> None:
        """Do nothing."""

    def tick(self, now_ns: int, next_ns: int) -> int:
        """Return ``next_ns``."""
        return next_ns


class Channel(Protocol):
    """How frames get to the host and the control to the guest: a mailbox, or a shared folder."""

    @property
    def control(self) -> bytes:
        """The control document that the host has written; empty if there is none yet."""

    def publish(self, frame: bytes) -> bool:
        """Add a frame for the host; return False if there is no room for it yet."""


class Host:
    """The host, which watches a trial.  Implements :class:`Onlooker`."""

    tick_ns = WATCHED_TICK_NS

    def __init__(self, channel: Channel, pause: Callable[[], None]) -> None:
        """*pause* lets the host do something, while no virtual time passes."""
        self._channel = channel
        self._pause = pause
        self._network: Network | None = None
        self._recorders: Sequence[Rows] = ()
        self._control: Control = {"allowed_ns": -1, "commands": []}
        self._control_text = b""
        self._applied = 0

    def say(self, message: str) -> None:
        """Tell the host what is done."""
        self._publish({"kind": "step", "message": message})

    def changes(self, network: Network) -> Changes:
        """Return the scheduled changes, each of which is looked up again when its time has come.

        The host may replace the changes of a link until then.
        """
        times = sorted({at_ns for at_ns, _change in network.changes()})
        return [(at_ns, partial(network.apply_changes, at_ns)) for at_ns in times]

    def begin(self, network: Network, recorders: Sequence[Rows], start_ns: int) -> None:
        """Tell the host what the rows of the frames will mean, and wait until it allows the traffic to start."""
        self._network, self._recorders = network, recorders
        self._publish(
            {
                "kind": "start",
                "start_ns": start_ns,
                "layouts": {recorder.name: recorder.layout() for recorder in recorders},
                "queues": _queues(network),
                "flows": [_flow(flow, number) for number, flow in enumerate(network.job["flows"])],
            }
        )
        self._wait_for(0)

    def tick(self, now_ns: int, next_ns: int) -> int:
        """Send the rows to the host, wait until it allows the trial to go on, and do what it asks."""
        at_ns = now_ns // self.tick_ns * self.tick_ns
        self._publish(
            {"kind": "tick", "now_ns": at_ns}, {recorder.name: recorder.take() for recorder in self._recorders}
        )
        self._wait_for(at_ns)
        self._obey(at_ns)
        return min(next_ns, at_ns + self.tick_ns)

    def end(self, error: str) -> None:
        """Tell the host that the trial has ended; *error* says why it has failed, or is empty."""
        self._publish({"kind": "end", "message": error})

    def _publish(self, head: Frame, parts: dict[str, bytes] | None = None) -> None:
        frame = packed(head, parts or {})
        while not self._channel.publish(frame):
            self._pause()

    def _wait_for(self, at_ns: int) -> None:
        while True:
            text = self._channel.control
            if text != self._control_text:
                self._control, self._control_text = json.loads(text), text
            if self._control["allowed_ns"] >= at_ns:
                return
            self._pause()

    def _obey(self, at_ns: int) -> None:
        assert self._network is not None
        for command in self._control["commands"]:
            if command["number"] > self._applied and command["at_ns"] <= at_ns:
                self._applied = command["number"]
                self._network.replace_changes(command["link"], command["way"], command["changes"])
                self._network.apply_changes(command["at_ns"], (command["link"], command["way"]))


def _queues(network: Network) -> list[WatchedQueue]:
    places = network.places()
    found: list[WatchedQueue] = []
    for port in network.ports:
        netns, ifindex = places[port.node, port.interface]
        found.append({"link": port.link, "way": port.direction, "netns": netns, "ifindex": ifindex})
    return found


def _flow(flow: Flow, number: int) -> WatchedFlow:
    if flow["arrivals"] is not None:
        return {"name": flow["name"], "sport": 0, "dport": 0}
    ends = (data_port(number), flow["port"])
    sport, dport = reversed(ends) if flow["initiator"] == "destination" else ends
    return {"name": flow["name"], "sport": sport, "dport": dport}
