# SPDX-License-Identifier: Apache-2.0
"""What is valid in a plan, but cannot mean what it says, or has misled people.  Pure.

Each note gives its reason; ``docs/experiment-file.md`` lists them.  What can never be meant is an error instead
(:mod:`lab.experiment.check.experiment`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from lab.job.network import route
from lab.job.protocol import ETHERNET_HEADER_BYTES, Direction, Flow, Job, Netem
from lab.units import format_duration, format_percent, format_rate, format_size

__all__ = ["base_rtt_ns", "busy_share", "notes_of", "offered_bps"]

SETTLING_NS = 130 * 10**9
"""One BBR flow against CUBIC flows was seen to need this long."""
UNEQUAL_SETTLING_NS = 200 * 10**9
"""So were two CUBIC flows whose RTTs differ."""
FEW_RTTS = 100
UNEQUAL_RTTS = 1.5
BUSY_SHARE = 0.7
PACKET_HOP_NS = 9_200
"""What a packet and its acknowledgement cost the one virtual processor at each node, end hosts and probe included: at
100 Mbit/s over a dumbbell's four nodes it is 30 % busy with 8,260 segments a second."""
BURST_OF_RAMPS = 0.005


def base_rtt_ns(job: Job, flow: Flow) -> int:
    """Return the base RTT of a flow's path."""
    hops = (*route(job, flow["source"], flow["destination"]), *route(job, flow["destination"], flow["source"]))
    return sum(hop.direction["netem"]["delay_ns"] for hop in hops if hop.direction["netem"])


def notes_of(jobs: Sequence[Job], repetitions: int) -> list[str]:
    """Return the notes on a plan of *jobs*, each once."""
    found = [text for job in jobs for note in _NOTES for text in note(job)]
    if repetitions < 3:
        found.append("fewer than 3 repetitions: the report cannot say how much is luck")
    return list(dict.fromkeys(found))


def _bulk(job: Job) -> list[Flow]:
    """The flows that are to reach a steady state."""
    return [flow for flow in job["flows"] if flow["protocol"] == "tcp" and flow["arrivals"] is None]


def _settling(job: Job) -> Iterator[str]:
    bulk = _bulk(job)
    if len({flow["congestion_control"] for flow in bulk}) > 1 and job["duration_ns"] < SETTLING_NS:
        settling = format_duration(SETTLING_NS)
        yield f"different algorithms may take {settling} and more to settle their shares; this run is shorter"
    rtts = [base_rtt_ns(job, flow) for flow in bulk]
    unequal = min(rtts, default=0) > 0 and max(rtts) > UNEQUAL_RTTS * min(rtts) and _share_a_link(job)
    if unequal and job["duration_ns"] < UNEQUAL_SETTLING_NS:
        settling = format_duration(UNEQUAL_SETTLING_NS)
        yield f"flows of unequal RTT may take {settling} to settle their shares; this run is shorter"


def _share_a_link(job: Job) -> bool:
    limited = [
        {(hop.link, hop.way) for hop in route(job, flow["source"], flow["destination"]) if hop.direction["rate_bps"]}
        for flow in _bulk(job)
    ]
    return any(first & second for at, first in enumerate(limited) for second in limited[at + 1 :])


def _short(job: Job) -> Iterator[str]:
    if any(flow["duration_ns"] < FEW_RTTS * base_rtt_ns(job, flow) for flow in _bulk(job)):
        yield f"traffic lasts less than {FEW_RTTS} base RTTs: mostly start-up, hardly steady state"


def _offloads(job: Job) -> Iterator[str]:
    if job["offloads"]:
        yield "offloads are on: one packet in a queue's limit may be up to 64 KiB"


def _small_buffer(job: Job) -> Iterator[str]:
    for flow in job["flows"]:
        rates = [hop.direction["rate_bps"] for hop in route(job, flow["source"], flow["destination"])]
        limited = [rate for rate in rates if rate is not None]
        bdp = min(limited, default=0) * base_rtt_ns(job, flow) // (8 * 10**9)
        # The kernel takes half of a buffer for its own bookkeeping.
        if bdp > job["socket_buffer_bytes"] // 2:
            yield (
                f"socket_buffer is {format_size(job['socket_buffer_bytes'])}, of which half is a window: less than the "
                f"BDP of {format_size(bdp)}, so the buffer limits the flow, not its congestion control"
            )
            return


def offered_bps(flow: Flow) -> int | None:
    """Return how much a flow's application offers; None: as much as the path takes."""
    if flow["arrivals"] is not None:
        return sum(flow["arrivals"]["bytes"]) * 8 * 10**9 // flow["duration_ns"]
    return flow["rate_bps"]


def _overload(job: Job) -> Iterator[str]:
    """What does not depend on the network's answer, and is more than it can carry."""
    for flow in job["flows"]:
        offered = offered_bps(flow)
        if offered is None or (flow["protocol"] == "tcp" and flow["arrivals"] is None):
            continue
        way = route(job, flow["source"], flow["destination"])
        slowest = min((hop.direction["rate_bps"] for hop in way if hop.direction["rate_bps"]), default=None)
        if slowest is not None and offered > slowest:
            what = "its flows pile up" if flow["arrivals"] is not None else "the rest is lost"
            yield f"{flow['name']} offers {format_rate(offered, 3)} to {format_rate(slowest, 3)}: {what}"


def busy_share(job: Job) -> float:
    """Return how busy the virtual processor will be, roughly: what flows push through their bottlenecks costs."""
    carried, hops, unlimited = _load(job)
    return 1.0 if unlimited else sum(carried) / 8 / (job["mtu"] + ETHERNET_HEADER_BYTES) * hops * PACKET_HOP_NS / 1e9


def _load(job: Job) -> tuple[list[int], int, bool]:
    """(rate of each bottleneck that is used, most nodes on a way, whether a way has no limit)"""
    carried: dict[tuple[str, str], int] = {}
    unlimited, hops = False, 0
    for flow in job["flows"]:
        way = route(job, flow["source"], flow["destination"])
        limited = [(hop.direction["rate_bps"] or 0, hop.link, hop.way) for hop in way if hop.direction["rate_bps"]]
        hops = max(hops, len(way) + 1)
        offered = offered_bps(flow)
        if offered is not None:
            carried[flow["name"], ""] = min([offered, *(rate for rate, _link, _way in limited)])
        elif limited:
            rate, link, direction = min(limited)
            carried[link, direction] = rate
        else:
            unlimited = True
    return list(carried.values()), hops, unlimited


def _busy(job: Job) -> Iterator[str]:
    carried, hops, unlimited = _load(job)
    share = busy_share(job)
    if unlimited:
        yield "a flow's path has no rate limit: it takes all of the virtual processor, and the trial will be invalid"
    elif share > BUSY_SHARE:
        yield (
            f"some {format_rate(sum(carried))} over {hops} nodes may keep the virtual processor {share:.0%} "
            f"busy; beyond {BUSY_SHARE:.0%} a trial is invalid"
        )


def _directions(job: Job) -> Iterator[tuple[str, Direction]]:
    for link in job["links"]:
        yield f"{link['a']} → {link['b']}", link["ab"]
        yield f"{link['b']} → {link['a']}", link["ba"]


def _netems(job: Job) -> Iterator[tuple[str, Netem]]:
    for name, direction in _directions(job):
        states = [direction["netem"], *(change["netem"] for change in direction["changes"])]
        yield from ((name, netem) for netem in states if netem is not None)


def _random(job: Job) -> Iterator[str]:
    for name, netem in _netems(job):
        loss, jitter = netem["loss"], netem["jitter"]
        if loss and loss["model"] == "random" and len(loss["values"]) > 1:
            yield (
                f"{name}: correlated loss of {format_percent(loss['values'][0])} will be far less: the kernel averages "
                "uniform numbers; use the model gemodel for losses in bursts"
            )
        if jitter and jitter["correlation"]:
            yield (
                f"{name}: the kernel does not correlate jitter: it takes the correlated number modulo a small one, "
                "which leaves nothing of it"
            )
        if jitter and not jitter["keep_order"]:
            yield f"{name}: jitter lets packets overtake each other; say keep_order: true if that is not meant"
        if jitter and jitter["spread_ns"] > netem["delay_ns"]:
            yield (
                f"{name}: jitter of {format_duration(jitter['spread_ns'])} is more than the delay of "
                f"{format_duration(netem['delay_ns'])}: no packet arrives before it was sent, so the mean is larger"
            )


def _ecn(job: Job) -> Iterator[str]:
    """An AQM marks only if it is told to, or unless told not to, and only packets of flows that negotiated ECN."""
    marking = any(_marks(direction) for _name, direction in _directions(job))
    aqm = any(
        direction["queue"] and direction["queue"]["discipline"] not in ("bfifo", "pfifo", "sfq", "fq")
        for _name, direction in _directions(job)
    )
    if job["ecn"] == "on" and not marking:
        yield (
            "ecn is on, but no queue marks: "
            + ("codel, pie and red need parameters: {ecn: true}" if aqm else "FIFOs drop")
        )
    uses_dctcp = any(flow["congestion_control"] == "dctcp" for flow in job["flows"])
    if uses_dctcp and not marking:
        yield "dctcp without a queue that marks is as reno"


def _marks(direction: Direction) -> bool:
    queue = direction["queue"]
    if queue is None:
        return False
    if queue["discipline"] in ("fq_codel", "cake"):
        return "noecn" not in queue["parameters"]
    return "ecn" in queue["parameters"] or "ce_threshold" in queue["parameters"]


def _ramps(job: Job) -> Iterator[str]:
    for name, direction in _directions(job):
        rates = [change for change in direction["changes"] if change["rate_bps"]]
        for before, after in pairwise(rates):
            interval_ns = after["at_ns"] - before["at_ns"]
            packet_ns = (job["mtu"] + ETHERNET_HEADER_BYTES) * 8 * 10**9 // (before["rate_bps"] or 1)
            if interval_ns and packet_ns > BURST_OF_RAMPS * interval_ns:
                yield (
                    f"{name}: a change of the rate lets one packet more pass, which is "
                    f"{packet_ns / interval_ns:.1%} of what passes between two of these changes"
                )
                break


def _sender_queue(job: Job) -> Iterator[str]:
    hosts = {node["name"] for node in job["nodes"] if node["role"] == "host"}
    for link in job["links"]:
        for end, direction in ((link["a"], link["ab"]), (link["b"], link["ba"])):
            sends = any(flow["source"] == end for flow in job["flows"])
            if end in hosts and sends and direction["rate_bps"]:
                yield (
                    f"{end} sends through a rate limit of its own: TCP small queues keep that queue short, so that it "
                    "never fills as a router's would"
                )


_NOTES: tuple[Callable[[Job], Iterator[str]], ...] = (
    _settling,
    _overload,
    _short,
    _small_buffer,
    _busy,
    _sender_queue,
    _random,
    _ecn,
    _ramps,
    _offloads,
)
