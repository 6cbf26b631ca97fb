# SPDX-License-Identifier: Apache-2.0
"""Shape links with ``tc``: what is built, and nothing about running it.

One direction of a link is two stages.  The rate and its queue sit on the interface where packets *leave* (tbf
over the queue discipline).  Delay and loss sit where they *arrive*: an ifb with netem on the receiving
interface's ingress.  So a host's own TCP never feels netem's queue through TSQ, the queue in front of the rate holds
only waiting packets and not those in flight, and no qdisc tree mixes the two (``man tc-netem``, LIMITATIONS;
``docs/architecture.md``).
"""

from __future__ import annotations

from lab.agent.addressing import Port
from lab.protocol import ETHERNET_HEADER_BYTES, Direction, Job, Link, Netem, Queue

TBF_SLACK_NS = 100_000
"""The bucket holds one packet and what the rate carries in this time.

With room for exactly one packet, every late timer would lose rate for good: tokens beyond the bucket are thrown
away.  With this slack a timer may be late by up to 100 µs and the long-term rate stays exact.
"""


def burst_bytes(rate_bps: int, mtu: int) -> int:
    """tbf's ``burst``: one full packet as ``tc`` counts it, plus :data:`TBF_SLACK_NS` at ``rate_bps``."""
    return mtu + ETHERNET_HEADER_BYTES + rate_bps * TBF_SLACK_NS // 8_000_000_000


def queue_arguments(queue: Queue) -> list[str]:
    """The queue discipline with its limit and parameters, as ``tc`` reads them."""
    arguments = [queue["discipline"]]
    limit = queue["limit_bytes"] if queue["discipline"] == "bfifo" else queue["limit_packets"]
    if limit is not None:
        arguments += ["limit", str(limit)]
    for name, value in queue["parameters"].items():
        if value is True:
            arguments.append(name)
        elif value is not False:
            arguments += [name, str(value)]
    return arguments


def rate_commands(interface: str, direction: Direction, mtu: int) -> list[str]:
    """``tc -batch`` lines for the leaving side; empty without a rate."""
    rate, queue = direction["rate_bps"], direction["queue"]
    if rate is None or queue is None:
        return []
    # tbf's own limit is that of a queue it makes itself; the child set right after takes its place.
    burst = burst_bytes(rate, mtu)
    return [
        f"qdisc add dev {interface} root handle 1: tbf rate {rate}bit burst {burst} limit {10 * burst}",
        f"qdisc add dev {interface} parent 1:1 handle 2: {' '.join(queue_arguments(queue))}",
    ]


def netem_arguments(netem: Netem) -> list[str]:
    """netem's parameters; the seed only where something is drawn at random."""
    arguments = ["netem", "limit", str(netem["limit_packets"]), "delay", f"{netem['delay_ns']}ns"]
    if netem["loss"]:
        # iproute2 reads a percentage and scales it to 32 bits; 10 digits keep it exact to that grain.
        arguments += ["loss", "random", f"{netem['loss'] * 100:.10f}%", "seed", str(netem["seed"])]
    return arguments


def ifb_name(interface_index: int) -> str:
    return f"ifb{interface_index}"


def netem_commands(interface: str, ifb: str, netem: Netem) -> list[str]:
    """``tc -batch`` lines for the arriving side: redirect everything through ``ifb``'s netem."""
    return [
        f"qdisc add dev {interface} handle ffff: ingress",
        f"filter add dev {interface} parent ffff: protocol all prio 1 matchall action mirred egress redirect dev {ifb}",
        f"qdisc add dev {ifb} root handle 1: {' '.join(netem_arguments(netem))}",
    ]


def arriving(job: Job, port: Port) -> Direction:
    """The direction whose packets arrive at ``port``."""
    link = link_of(job, port)
    return link["ba"] if port.direction == "ab" else link["ab"]


def leaving(job: Job, port: Port) -> Direction:
    """The direction whose packets leave through ``port``."""
    link = link_of(job, port)
    return link["ab"] if port.direction == "ab" else link["ba"]


def link_of(job: Job, port: Port) -> Link:
    return next(link for link in job["links"] if link["name"] == port.link)
