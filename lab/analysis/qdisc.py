# SPDX-License-Identifier: Apache-2.0
"""Reading ``tc -j -s qdisc show``: what was really built, and what it counted.

Spelling and units are those of iproute2's JSON: tbf's ``rate`` is in bytes per second, netem's delay in seconds and its
loss a fraction (``tc/q_tbf.c``, ``tc/q_netem.c``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.protocol import Direction, InterfaceResult, Job, Link


@dataclass(frozen=True)
class Side:
    """One interface of a link, with the direction of the link that it shapes.

    An egress interface carries the rate and the queue of the packets that leave through it, an ingress interface (an
    ifb) the netem of the packets that arrive at its node.
    """

    result: InterfaceResult
    link: Link
    direction: Direction

    @property
    def label(self) -> str:
        return f"{self.result['node']} {self.result['interface']}"


def sides(job: Job, interfaces: list[InterfaceResult]) -> list[Side]:
    """Return every interface that belongs to a link of the job, with the direction it shapes."""
    links = {link["name"]: link for link in job["links"]}
    found = []
    for result in interfaces:
        link = links.get(result["link"])
        if link is None or result["node"] not in (link["a"], link["b"]):
            continue
        outward = link["ab"] if result["node"] == link["a"] else link["ba"]
        inward = link["ba"] if result["node"] == link["a"] else link["ab"]
        found.append(Side(result, link, outward if result["role"] == "egress" else inward))
    return found


def find(qdiscs: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """Return the first qdisc of *kind*."""
    return next((qdisc for qdisc in qdiscs if qdisc.get("kind") == kind), None)


def root_kind(qdiscs: list[dict[str, Any]]) -> str | None:
    """Return the kind of the root qdisc; None when none was read."""
    return next((qdisc.get("kind") for qdisc in qdiscs if qdisc.get("root")), None)


def options(qdisc: dict[str, Any]) -> dict[str, Any]:
    found = qdisc.get("options")
    return found if isinstance(found, dict) else {}


def counted(side: Side, kind: str, counter: str) -> int:
    """Return by how much *counter* of the qdisc of *kind* grew during the traffic."""
    before, after = find(side.result["qdiscs_before"], kind), find(side.result["qdiscs_after"], kind)
    return int((after or {}).get(counter, 0)) - int((before or {}).get(counter, 0))


def netem_delay_ns(qdisc: dict[str, Any]) -> float:
    """Return netem's delay; 0 when it has none."""
    delay = options(qdisc).get("delay")
    return float(delay.get("delay", 0)) * 1e9 if isinstance(delay, dict) else 0.0


def netem_loss(qdisc: dict[str, Any]) -> float:
    """Return netem's independent loss probability; 0 when it has none."""
    loss = options(qdisc).get("loss-random")
    return float(loss.get("loss", 0)) if isinstance(loss, dict) else 0.0
