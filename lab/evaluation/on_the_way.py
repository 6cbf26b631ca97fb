# SPDX-License-Identifier: Apache-2.0
"""What every trial records on the way of packets: the queues' lengths, the drops, and the counters of ``tc``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow.compute as pc

from lab.analysis.backlog import Backlog
from lab.analysis.reductions import MARK, Trouble
from lab.store.trial import TrialResult

BACKLOG = "backlog"
"""Name of the table of how long queues were, in bins of time."""

LOSSES = "losses"
"""Name of the table of dropped packets of flows, in bins of time."""

_COLUMNS = (
    "time_ns", "length_ns", "byte_ns", "packet_ns", "most_bytes", "most_packets", "left_packets", "removed_bytes",
    "entered_packets",
)  # fmt: skip


Place = tuple[str, str]
"""Node and interface."""


@dataclass(frozen=True)
class Loss:
    """Packets of one flow that were dropped at one place for one cause within the flow's measured window."""

    flow: str
    way: str
    """``forward``: the flow's data; ``backward``: their acknowledgements."""
    node: str
    interface: str
    """Empty if the packets had already reached a socket."""
    cause: str
    """Cause of the drops, one of :data:`lab.job.drop_causes.CAUSES`."""
    packets: int


@lru_cache(maxsize=128)
def queues_of(trial: TrialResult) -> Mapping[Place, Backlog]:
    """Return (node, interface) → the length of its queue over time, for every queue through which packets went."""
    table = trial.collected(BACKLOG, [*_COLUMNS, "node", "interface"])
    columns = [table.column(name).to_numpy().astype(np.int64) for name in _COLUMNS]
    nodes, interfaces = (table.column(name).combine_chunks() for name in ("node", "interface"))
    if not len(nodes):
        return {}
    # Numbers are compared several times as fast as texts.
    place = nodes.indices.to_numpy().astype(np.int64) * len(interfaces.dictionary) + interfaces.indices.to_numpy()
    _distinct, firsts = np.unique(place, return_index=True)
    found = {}
    for first in np.sort(firsts).tolist():
        own = place == place[first]
        found[nodes[first].as_py(), interfaces[first].as_py()] = Backlog(*(column[own] for column in columns))
    return found


@lru_cache(maxsize=128)
def losses_of(trial: TrialResult) -> tuple[Loss, ...]:
    """Return the drops of all flows, by flow, direction, place and cause.

    Packets that had reached the host they were sent to are not among them, unless they did not fit in a receive buffer
    or were damaged.  The kernel of that host also reports a drop when it frees a duplicate, what arrives after a socket
    was closed, and what a socket still held when it was closed.
    """
    keys = ["flow", "way", "node", "interface", "cause"]
    table = trial.collected(LOSSES, ["time_ns", "packets", *keys])
    times = {flow["name"]: (flow["measured"]["start_ns"], flow["measured"]["end_ns"]) for flow in trial.job["flows"]}
    ends = {(flow["name"], "forward"): flow["destination"] for flow in trial.job["flows"]}
    ends |= {(flow["name"], "backward"): flow["source"] for flow in trial.job["flows"]}
    counted: Counter[Any] = Counter()
    for row in table.to_pylist():
        begin, end = times[row["flow"]]
        is_at_end = row["node"] in (None, ends[row["flow"], row["way"]])
        if is_at_end and row["cause"] == "other":
            continue
        if begin <= row["time_ns"] < end:
            counted[tuple(row[key] or "" for key in keys)] += row["packets"]
    return tuple(
        Loss(flow, way, node, interface, cause, packets)
        for (flow, way, node, interface, cause), packets in sorted(counted.items())
    )


def troubles_of(trial: TrialResult) -> dict[str, list[Trouble]]:
    """Return name of a flow → the drops of its data on their way, and its packets that arrived with an ECN mark."""
    found: dict[str, list[Trouble]] = defaultdict(list)
    drops = trial.collected(LOSSES, ["time_ns", "packets", "flow", "way", "cause", "interface"])
    on_the_way = pc.and_(pc.equal(drops.column("way"), "forward"), pc.is_valid(drops.column("interface")))
    for row in drops.filter(on_the_way).to_pylist():
        found[row["flow"]].append(Trouble(row["time_ns"], row["cause"], row["packets"]))
    accounts = trial.collected("accounts", ["time_ns", "flow", "side", "ce_packets"])
    marked = pc.and_(pc.equal(accounts.column("side"), "arrived"), pc.greater(accounts.column("ce_packets"), 0))
    for row in accounts.filter(marked).to_pylist():
        found[row["flow"]].append(Trouble(row["time_ns"], MARK, row["ce_packets"]))
    return found


def dropped_of(trial: TrialResult) -> dict[str, int]:
    """Return name of a flow → how many packets of its data were dropped on their way within its declared time.

    Packets that a socket of the receiver drops are not among them, because they have arrived.
    """
    found = dict.fromkeys((flow["name"] for flow in trial.job["flows"]), 0)
    for loss in losses_of(trial):
        if loss.way == "forward" and loss.interface and loss.cause != "receive_buffer":
            found[loss.flow] += loss.packets
    return found


QUEUE_CAUSES = ("queue_overflow", "aqm")
"""The causes for which a queue drops packets: it is full, or its discipline keeps it short."""
TC_CAUSES = ("random_loss", *QUEUE_CAUSES)
"""The causes of all drops that ``tc`` counts: those of queues, and netem's random losses."""


def dropped_by_queues(trial: TrialResult) -> Counter[tuple[str, str, str]]:
    """Return (flow, node, interface) → how many packets of the flow's data the queue there dropped, in its window."""
    found: Counter[tuple[str, str, str]] = Counter()
    for loss in losses_of(trial):
        if loss.way == "forward" and loss.interface and loss.cause in QUEUE_CAUSES:
            found[loss.flow, loss.node, loss.interface] += loss.packets
    return found


def dropped_by_tc(trial: TrialResult) -> Counter[Place]:
    """Return the number of packets that the queueing disciplines of each interface dropped while traffic ran.

    Interfaces without drops are left out.
    """
    found: Counter[Place] = Counter()
    for port in trial.record["interfaces"]:
        before, after = (
            # The counter of an outer discipline includes the drops of those inside it.  clsact is beside the others
            # and counts separately.
            sum(int(qdisc.get("drops", 0)) for qdisc in qdiscs if "parent" not in qdisc or qdisc["kind"] == "clsact")
            for qdiscs in (port["qdiscs_before"], port["qdiscs_after"])
        )
        if after != before:
            found[port["node"], port["interface"]] = after - before
    return found


def marked_by_tc(trial: TrialResult, place: Place) -> int | None:
    """Return the number of packets that the queueing disciplines of an interface marked with ECN while traffic ran.

    None if none of them counts marks, as those do not that cannot mark.
    """
    for port in trial.record["interfaces"]:
        if (port["node"], port["interface"]) == place:
            before, after = (
                [count for count in map(_marks, qdiscs) if count is not None]
                for qdiscs in (port["qdiscs_before"], port["qdiscs_after"])
            )
            return sum(after) - sum(before) if after else None
    return None


def _marks(qdisc: Mapping[str, Any]) -> int | None:
    """Return how many packets a queueing discipline has marked, from its part of ``tc -s -j qdisc show``.

    RED calls the counter ``marked``, fq ``ce_mark``, and the others ``ecn_mark``; cake has one for each of its tins.
    """
    if "tins" in qdisc:
        return sum(int(tin["ecn_mark"]) for tin in qdisc["tins"])
    return next((int(qdisc[name]) for name in ("ecn_mark", "marked", "ce_mark") if name in qdisc), None)
