# SPDX-License-Identifier: Apache-2.0
"""Read the output of ``tc -j -s qdisc show``: the qdiscs that exist, their options and their counters.

Names and units are those of iproute2's JSON: tbf's ``rate`` is in bytes per second, netem's delay is in seconds and its
loss is a fraction (``tc/q_tbf.c``, ``tc/q_netem.c``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.job.protocol import Direction, InterfaceResult, Job, Link, Netem


@dataclass(frozen=True)
class Side:
    """One interface of a link, with the direction of the link that it shapes.

    An egress interface has the rate limit and the queue of the packets that leave through it.  An ingress interface (an
    ifb device) has the netem for the packets that arrive at its node.
    """

    result: InterfaceResult
    link: Link
    direction: Direction

    @property
    def label(self) -> str:
        """The node and the interface, as text: ``r1 r1-eth1``."""
        return f"{self.result['node']} {self.result['interface']}"


def sides(job: Job, interfaces: list[InterfaceResult]) -> list[Side]:
    """Return each interface that belongs to a link of the job, with the direction that it shapes."""
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
    """Return the first qdisc of *kind*; None if there is none."""
    return next((qdisc for qdisc in qdiscs if qdisc.get("kind") == kind), None)


def root_kind(qdiscs: list[dict[str, Any]]) -> str | None:
    """Return the kind of the root qdisc; None if tc showed no root qdisc."""
    return next((qdisc.get("kind") for qdisc in qdiscs if qdisc.get("root")), None)


def options(qdisc: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a qdisc; empty if it has none."""
    found = qdisc.get("options")
    return found if isinstance(found, dict) else {}


def counted(side: Side, kind: str, counter: str) -> int:
    """Return by how much the *counter* of the first qdisc of *kind* grew during the traffic."""
    before, after = find(side.result["qdiscs_before"], kind), find(side.result["qdiscs_after"], kind)
    return int((after or {}).get(counter, 0)) - int((before or {}).get(counter, 0))


LIMIT_IN = {"cake": "memlimit"}
"""Name of the option that limits a queueing discipline, for those where it is not ``limit``."""

_LOSS = {
    "random": ("loss-random", ("loss", "correlation")),
    "gemodel": ("loss-gemodel", ("p", "r", "1-h", "1-k")),
    "state": ("loss-state", ("p13", "p31", "p32", "p23", "p14")),
}


def netem_values(qdisc: dict[str, Any]) -> dict[str, float]:
    """Return netem's impairments as tc shows them: name to value, in nanoseconds or as a fraction.

    Impairments that netem does not apply are left out.
    """
    found: dict[str, float] = {}
    settings = options(qdisc)
    delay = settings.get("delay")
    if isinstance(delay, dict):
        found |= {"delay": delay.get("delay", 0) * 1e9, "jitter": delay.get("jitter", 0) * 1e9}
        found["jitter correlation"] = delay.get("correlation", 0)
    for name, names in _LOSS.values():
        loss = settings.get(name)
        if isinstance(loss, dict):
            found |= {f"{name} {item}": loss.get(item, 0) for item in names}
    for name in ("duplicate", "corrupt", "reorder"):
        part = settings.get(name)
        if isinstance(part, dict):
            found |= {name: part.get(name, 0), f"{name} correlation": part.get("correlation", 0)}
    if int(settings.get("gap", 0)) > 1:
        found["gap"] = settings["gap"]
    if not found.get("reorder"):
        found.pop("gap", None)
    return {name: float(value) for name, value in found.items() if value}


def netem_asked(netem: Netem) -> dict[str, float]:
    """Return the impairments that the job asks for, in the form of :func:`netem_values`."""
    asked: dict[str, float] = {"delay": netem["delay_ns"]}
    if netem["jitter"]:
        asked |= {"jitter": netem["jitter"]["spread_ns"], "jitter correlation": netem["jitter"]["correlation"]}
    if netem["loss"]:
        name, names = _LOSS[netem["loss"]["model"]]
        asked |= {f"{name} {item}": value for item, value in zip(names, netem["loss"]["values"], strict=False)}
    asked |= {"duplicate": netem["duplicate"], "corrupt": netem["corrupt"]}
    if netem["reorder"]:
        asked |= {"reorder": netem["reorder"]["probability"], "reorder correlation": netem["reorder"]["correlation"]}
        if netem["reorder"]["gap"] > 1:
            asked["gap"] = netem["reorder"]["gap"]
    return {name: float(value) for name, value in asked.items() if value}


def is_random(netem: Netem) -> bool:
    """Return whether netem draws random numbers, so that its seed matters."""
    return bool(netem["jitter"] or netem["loss"] or netem["duplicate"] or netem["corrupt"] or netem["reorder"])
