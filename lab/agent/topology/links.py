# SPDX-License-Identifier: Apache-2.0
"""Generate the ``tc`` commands that shape links.  This module only builds commands and never runs them.

One direction of a link is emulated in two stages.  The rate limit and its queue are on the interface where packets
*leave* (tbf with the queue discipline as its child).  Delay and loss are applied where packets *arrive*, by netem on an
ifb device to which the receiving interface's ingress is redirected.  This has three advantages: TCP small queues (TSQ)
on the sending host do not count packets in netem's queue; the queue in front of the rate limit holds only waiting
packets, not packets in flight; and no qdisc tree combines rate limiting with netem (``man tc-netem``, LIMITATIONS; see
``docs/explanation/architecture.md``).
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.agent.topology.addressing import Port
from lab.job.protocol import ETHERNET_HEADER_BYTES, Change, Direction, Job, Link, Netem, Queue

TBF_SLACK_NS = 100_000
"""The extra size of tbf's bucket beyond one packet, in nanoseconds at the rate limit.

With room for exactly one packet, every timer that fires late would reduce the rate for good, because tokens that do not
fit into the bucket are discarded.  With this slack, a timer may be up to 100 µs late, and the long-term rate is exact.
"""

_UNLIMITED = "1tbit"


def burst_bytes(rate_bps: int, mtu: int) -> int:
    """Return tbf's ``burst``: one full-size packet as ``tc`` counts it, plus :data:`TBF_SLACK_NS` at ``rate_bps``."""
    return mtu + ETHERNET_HEADER_BYTES + rate_bps * TBF_SLACK_NS // 8_000_000_000


def queue_arguments(queue: Queue) -> list[str]:
    """Return the ``tc`` arguments of a queue discipline: its name, limit and parameters."""
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
    """Return ``tc -batch`` lines for the rate limit and its queue at the sending interface; none without a rate."""
    rate, queue = direction["rate_bps"], direction["queue"]
    if rate is None or queue is None:
        return []
    return [
        f"qdisc add dev {interface} root handle 1: {_tbf(rate, mtu)}",
        f"qdisc add dev {interface} parent 1:1 handle 2: {' '.join(queue_arguments(queue))}",
    ]


def fresh_queue_commands(interface: str, direction: Direction) -> list[str]:
    """Return ``tc -batch`` lines that put a new queue of the same kind behind the rate limit; none for plain FIFOs.

    Active queue management remembers what it has seen: RED keeps an average of its queue, and PIE and CoDel keep the
    state of their control loops.  Plain FIFOs have no such memory.
    """
    queue = direction["queue"]
    if direction["rate_bps"] is None or direction["capacity"] is not None or queue is None:
        return []
    if queue["discipline"] in ("bfifo", "pfifo"):
        return []
    return [
        f"qdisc delete dev {interface} parent 1:1",
        f"qdisc add dev {interface} parent 1:1 handle 2: {' '.join(queue_arguments(queue))}",
    ]


def _tbf(rate: int, mtu: int) -> str:
    # tbf requires a limit, but it is that of tbf's default child, which the caller replaces at once.
    burst = burst_bytes(rate, mtu)
    return f"tbf rate {rate}bit burst {burst} limit {10 * burst}"


def host_queue_commands(job: Job, own: Sequence[Port], queue: Queue) -> list[str]:
    """Return ``tc -batch`` lines that set a node's own queue discipline on its interfaces without a rate limit."""
    plain = [port for port in own if leaving(job, port)["rate_bps"] is None]
    return [f"qdisc add dev {port.interface} root {' '.join(queue_arguments(queue))}" for port in plain]


def change_commands(interface: str, ifb: str | None, change: Change, mtu: int) -> tuple[list[str], list[str]]:
    """Return ``tc -batch`` lines for a scheduled change of a link, for its sending and for its receiving side.

    ``interface`` is the sending interface; ``ifb`` is the device that carries netem on the receiving side.
    """
    leaving, arriving = [], []
    if change["rate_bps"] is not None and change["queue"] is not None:
        leaving = [
            f"qdisc change dev {interface} root handle 1: {_tbf(change['rate_bps'], mtu)}",
            # tbf_change() applies its own limit to a child that is a FIFO, so the child's limit must be set again.
            f"qdisc change dev {interface} parent 1:1 handle 2: {' '.join(queue_arguments(change['queue']))}",
        ]
    if change["netem"] is not None:
        arriving = [f"qdisc change dev {ifb} root handle 1: {' '.join(netem_arguments(change['netem'], change=True))}"]
    return leaving, arriving


def percent(fraction: float) -> str:
    """Format a fraction as a percentage for ``tc``.

    iproute2 scales the number to 32 bits, and 10 digits after the point preserve that precision.
    """
    return f"{fraction * 100:.10f}%"


def netem_arguments(netem: Netem, *, change: bool = False) -> list[str]:
    """Return the ``tc`` arguments of netem; the seed is included only if netem draws something at random.

    With ``change``, the arguments are for ``tc qdisc change``.  They then also include parameters that are off, because
    netem_change() would otherwise keep their old values, and always the seed, because netem would otherwise choose one.
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
        # If netem has a rate, even one that never limits anything, it keeps packets in order (tfifo_enqueue()).
        arguments += ["rate", _UNLIMITED]
    elif change:
        arguments += ["rate", "0bit"]
    if change or jitter or loss or reorder or netem["duplicate"] or netem["corrupt"]:
        arguments += ["seed", str(netem["seed"])]
    return arguments


def ifb_name(interface_index: int) -> str:
    """Return the name of a node's ifb device with this number."""
    return f"ifb{interface_index}"


def ingress_command(interface: str) -> str:
    """Return the ``tc -batch`` line that gives an interface clsact, the qdisc for filters on ingress and egress."""
    # "replace" is used because clsact may be there already: a capacity file needs it for its egress filters.
    return f"qdisc replace dev {interface} clsact"


def netem_commands(interface: str, ifb: str, netem: Netem) -> list[str]:
    """Return ``tc -batch`` lines for the receiving side, which redirect all arriving packets to netem on ``ifb``."""
    return [
        ingress_command(interface),
        f"filter add dev {interface} ingress protocol all prio 9 matchall action mirred egress redirect dev {ifb}",
        f"qdisc add dev {ifb} root handle 1: {' '.join(netem_arguments(netem))}",
    ]


def arriving(job: Job, port: Port) -> Direction:
    """Return the direction of the link whose packets arrive at ``port``."""
    link = link_of(job, port)
    return link["ba"] if port.direction == "ab" else link["ab"]


def leaving(job: Job, port: Port) -> Direction:
    """Return the direction of the link whose packets leave through ``port``."""
    link = link_of(job, port)
    return link["ab"] if port.direction == "ab" else link["ba"]


def link_of(job: Job, port: Port) -> Link:
    """Return the link to which ``port`` belongs."""
    return next(link for link in job["links"] if link["name"] == port.link)
