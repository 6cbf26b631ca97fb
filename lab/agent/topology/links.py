# SPDX-License-Identifier: Apache-2.0
"""Shape links with ``tc``: what is built, and nothing about running it.

One direction of a link is two stages.  The rate and its queue sit on the interface where packets *leave* (tbf
over the queue discipline).  Delay and loss sit where they *arrive*: an ifb with netem on the receiving
interface's ingress.  So a host's own TCP never feels netem's queue through TSQ, the queue in front of the rate holds
only waiting packets and not those in flight, and no qdisc tree mixes the two (``man tc-netem``, LIMITATIONS;
``docs/architecture.md``).
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.agent.topology.addressing import Port
from lab.job.protocol import ETHERNET_HEADER_BYTES, Change, Direction, Job, Link, Netem, Queue

TBF_SLACK_NS = 100_000
"""The bucket holds one packet and what the rate carries in this time.

With room for exactly one packet, every late timer would lose rate for good: tokens beyond the bucket are thrown
away.  With this slack a timer may be late by up to 100 µs and the long-term rate stays exact.
"""


_UNLIMITED = "1tbit"


def burst_bytes(rate_bps: int, mtu: int) -> int:
    """tbf's ``burst``: one full packet as ``tc`` counts it, plus :data:`TBF_SLACK_NS` at ``rate_bps``."""
    return mtu + ETHERNET_HEADER_BYTES + rate_bps * TBF_SLACK_NS // 8_000_000_000


def queue_arguments(queue: Queue) -> list[str]:
    """The queue discipline with its limit and parameters, as ``tc`` reads them."""
    arguments = [queue["discipline"]]
    limit = queue["limit_packets"] if queue["limit_bytes"] is None else queue["limit_bytes"]
    if limit is not None:
        arguments += ["memlimit" if queue["discipline"] == "cake" else "limit", str(limit)]
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
    return [
        f"qdisc add dev {interface} root handle 1: {_tbf(rate, mtu)}",
        f"qdisc add dev {interface} parent 1:1 handle 2: {' '.join(queue_arguments(queue))}",
    ]


def _tbf(rate: int, mtu: int) -> str:
    # tbf's own limit is that of a queue it makes itself; the child set right after takes its place.
    burst = burst_bytes(rate, mtu)
    return f"tbf rate {rate}bit burst {burst} limit {10 * burst}"


def host_queue_commands(job: Job, own: Sequence[Port], queue: Queue) -> list[str]:
    """``tc -batch`` lines for a node's own queue discipline, on its interfaces that have no rate."""
    plain = [port for port in own if leaving(job, port)["rate_bps"] is None]
    return [f"qdisc add dev {port.interface} root {' '.join(queue_arguments(queue))}" for port in plain]


def change_commands(interface: str, ifb: str | None, change: Change, mtu: int) -> tuple[list[str], list[str]]:
    """``tc -batch`` lines for the leaving side and for the arriving side, whose netem is on ``ifb``."""
    leaving, arriving = [], []
    if change["rate_bps"] is not None and change["queue"] is not None:
        leaving = [
            f"qdisc change dev {interface} root handle 1: {_tbf(change['rate_bps'], mtu)}",
            # tbf_change() hands its own limit on to a FIFO below it.
            f"qdisc change dev {interface} parent 1:1 handle 2: {' '.join(queue_arguments(change['queue']))}",
        ]
    if change["netem"] is not None:
        arriving = [f"qdisc change dev {ifb} root handle 1: {' '.join(netem_arguments(change['netem'], change=True))}"]
    return leaving, arriving


def percent(fraction: float) -> str:
    """As iproute2 reads it: scaled to 32 bits, so 10 digits keep it exact to that grain."""
    return f"{fraction * 100:.10f}%"


def netem_arguments(netem: Netem, *, change: bool = False) -> list[str]:
    """netem's parameters; the seed only where something is drawn at random.

    ``change``: what netem_change() would leave as it was is said too, and the seed always: without one it takes any.
    """
    arguments = ["netem", "limit", str(netem["limit_packets"]), "delay", f"{netem['delay_ns']}ns"]
    jitter, loss, reorder = netem["jitter"], netem["loss"], netem["reorder"]
    if jitter is not None:
        arguments.append(f"{jitter['spread_ns']}ns")
        if jitter["correlation"] or change:
            arguments.append(percent(jitter["correlation"]))
        if jitter["distribution"] != "uniform":
            arguments += ["distribution", jitter["distribution"]]
    if loss is not None:
        arguments += ["loss", loss["model"], *map(percent, loss["values"])]
    if netem["duplicate"]:
        arguments += ["duplicate", percent(netem["duplicate"])]
    if netem["corrupt"] or change:
        arguments += ["corrupt", percent(netem["corrupt"])]
    if reorder is not None:
        arguments += ["reorder", percent(reorder["probability"])]
        if reorder["correlation"] or change:
            arguments.append(percent(reorder["correlation"]))
        if reorder["gap"]:
            arguments += ["gap", str(reorder["gap"])]
    if jitter is not None and jitter["keep_order"]:
        # With a rate, however high, netem sends in the order in which packets came (tfifo_enqueue()).
        arguments += ["rate", _UNLIMITED]
    elif change:
        arguments += ["rate", "0bit"]
    if change or jitter or loss or reorder or netem["duplicate"] or netem["corrupt"]:
        arguments += ["seed", str(netem["seed"])]
    return arguments


def ifb_name(interface_index: int) -> str:
    return f"ifb{interface_index}"


def ingress_command(interface: str) -> str:
    # What a capacity file needs on the way out is on the same qdisc.
    return f"qdisc replace dev {interface} clsact"


def netem_commands(interface: str, ifb: str, netem: Netem) -> list[str]:
    """``tc -batch`` lines for the arriving side: redirect everything through ``ifb``'s netem."""
    return [
        ingress_command(interface),
        f"filter add dev {interface} ingress protocol all prio 9 matchall action mirred egress redirect dev {ifb}",
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
