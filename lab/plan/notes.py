# SPDX-License-Identifier: Apache-2.0
"""Notes on a plan: warnings about settings that are valid but have an effect that users hardly expect.  No I/O.

Each note gives its reason; ``docs/reference/experiment-file.md`` lists the notes.  Settings that make no sense are
errors instead
(:mod:`lab.experiment.check.experiment`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from lab.experiment.resolve.paths import route
from lab.job import kernels
from lab.job.network import Hop, mean_loss
from lab.job.over_time import (
    Steps,
    bottleneck_over_time,
    combined,
    delay_ns,
    delay_over_time,
    mean,
    netem_over_time,
    path_rate_over_time,
    queue_limit_bytes,
    queue_over_time,
)
from lab.job.protocol import ETHERNET_HEADER_BYTES, Direction, Flow, Job, Netem, NodeSettings
from lab.job.windows import is_cut, is_measured
from lab.plan.correlation import correlated_share
from lab.plan.load import busy_share, load, offered_bps
from lab.units import format_duration, format_percent, format_rate, format_size
from lab.words import listed

__all__ = ["base_rtt_ns", "base_rtt_over_time", "notes_of"]

SETTLING_NS = 130 * 10**9
"""Time until flows of different algorithms have stable shares: as observed with one BBR flow and CUBIC flows."""
UNEQUAL_SETTLING_NS = 200 * 10**9
"""Time until flows with different RTTs have stable shares: as observed with two CUBIC flows."""
FEW_RTTS = 100
"""A flow that lasts fewer base RTTs than this is mostly in its start-up phase."""
UNEQUAL_RTTS = 1.5
"""The base RTTs of flows count as different if the largest is more than this many times the smallest."""
BUSY_SHARE = 0.7
"""The share of time above which the check ``cpu`` (:mod:`lab.analysis.checks.machine`) warns of a busy processor."""
INITIAL_WINDOW = 10
"""The number of segments that a flow sends at once when it starts (RFC 6928)."""
OTHER_WINDOW = 0.1
"""Measured windows are different times if they begin or end further apart than this share of the shortest of them."""
MANY_FLOWS = 4
"""The number of flows up to which starting together is not worth a note."""
MAX_UNUSED = 4
"""The number of unused links that a note names."""
MAX_NAMED = 4
"""The number of links, hosts or flows that a note names."""
BRIEF_SHARE = 0.01
"""The share of a flow's duration up to which it does not matter that a link is the flow's bottleneck."""
BURST_OF_RAMPS = 0.005
"""The share of the traffic between two changes of the rate above which one additional packet deserves a note."""


def base_rtt_over_time(job: Job, flow: Flow) -> Steps[int]:
    """Return the base RTT of a flow's path in nanoseconds: the sum of the declared delays in both directions."""
    hops = (*route(job, flow["source"], flow["destination"]), *route(job, flow["destination"], flow["source"]))
    if not any(hop.direction["changes"] for hop in hops):  # The usual case, without all that a schedule needs.
        return Steps(((0, sum(delay_ns(hop.direction["netem"]) for hop in hops)),))
    return delay_over_time(hops)


def base_rtt_ns(job: Job, flow: Flow) -> int:
    """Return the base RTT of a flow's path when the flow starts, in nanoseconds."""
    return base_rtt_over_time(job, flow).at(flow["start_ns"])


Note: TypeAlias = "str | About"
"""A note on a job: about all of it, or about one link, host or flow."""


def _end_ns(flow: Flow) -> int:
    return flow["start_ns"] + flow["duration_ns"]


def _forward(job: Job, flow: Flow) -> tuple[Hop, ...]:
    return route(job, flow["source"], flow["destination"])


def _rate(job: Job, flow: Flow) -> Steps[float] | None:
    """Return the rate of the bottleneck on the path of a flow's data in bit/s; None if it has no rate limit."""
    return path_rate_over_time(_forward(job, flow), _end_ns(flow))


def notes_of(jobs: Sequence[Job]) -> list[str]:
    """Return the notes on these *jobs*, without duplicates."""
    # What holds for several links, hosts or flows is one note, which names them.
    of: dict[str | About, dict[str, None]] = {}
    for job in jobs:
        for note in _NOTES:
            for found in note(job):
                key = found if isinstance(found, str) else found._replace(what="")
                of.setdefault(key, {})
                if isinstance(found, About):
                    of[key][found.what] = None
    return [key if isinstance(key, str) else key.told(list(whom)) for key, whom in of.items()]


class About(NamedTuple):
    """A note about one link, host or flow."""

    what: str
    text: str
    """What is said about one of them, after its name."""
    text_of_several: str = ""
    """What is said about several of them; empty: the same."""

    def told(self, whom: Sequence[str]) -> str:
        """Return the note about all of *whom*."""
        if len(whom) == 1:
            return f"{whom[0]}{self.text}"
        more = [f"{len(whom) - MAX_NAMED} more"] if len(whom) > MAX_NAMED else []
        return f"{listed([*whom[:MAX_NAMED], *more])}{self.text_of_several or self.text}"


def _bulk(job: Job) -> list[Flow]:
    """Return the flows that are expected to reach a steady state: TCP flows other than short flows."""
    return [flow for flow in job["flows"] if flow["protocol"] == "tcp" and flow["arrivals"] is None]


def _settling(job: Job) -> Iterator[Note]:
    bulk = _bulk(job)
    if len({flow["congestion_control"] for flow in bulk}) > 1 and job["duration_ns"] < SETTLING_NS:
        settling = format_duration(SETTLING_NS)
        yield (
            f"different algorithms may take {settling} or more to reach stable shares of the capacity; "
            "this experiment is shorter"
        )
    rtts = [base_rtt_ns(job, flow) for flow in bulk]
    unequal = min(rtts, default=0) > 0 and max(rtts) > UNEQUAL_RTTS * min(rtts) and _share_a_link(job)
    if unequal and job["duration_ns"] < UNEQUAL_SETTLING_NS:
        settling = format_duration(UNEQUAL_SETTLING_NS)
        yield (
            f"flows with different RTTs may take {settling} to reach stable shares of the capacity; "
            "this experiment is shorter"
        )


def _share_a_link(job: Job) -> bool:
    limited = [
        {
            (hop.link, hop.direction_name)
            for hop in route(job, flow["source"], flow["destination"])
            if hop.direction["rate_bps"]
        }
        for flow in _bulk(job)
    ]
    return any(first & second for at, first in enumerate(limited) for second in limited[at + 1 :])


def _windows(job: Job) -> Iterator[Note]:
    """Warn about flows that share a link and are measured over different times."""
    windows = [flow["measured"] for flow in _bulk(job) if is_measured(flow)]
    if not any(map(is_cut, job["flows"])) or not _share_a_link(job):
        return
    starts, ends = ([window[bound] for window in windows] for bound in ("start_ns", "end_ns"))
    shortest = min(end - start for start, end in zip(starts, ends, strict=True))
    if max(max(starts) - min(starts), max(ends) - min(ends)) > OTHER_WINDOW * shortest:
        all_run = f"; all of them run from {format_duration(max(starts))} to {format_duration(min(ends))}"
        yield (
            "flows that share a link are measured at different times, so that their shares of it cannot be compared"
            f"{all_run if max(starts) < min(ends) else ''}"
        )


def _short(job: Job) -> Iterator[Note]:
    if any(
        flow["duration_ns"] < FEW_RTTS * mean(base_rtt_over_time(job, flow).map(float), flow["start_ns"], _end_ns(flow))
        for flow in _bulk(job)
    ):
        yield f"traffic lasts less than {FEW_RTTS} base RTTs: the results mostly show start-up, not the steady state"


def _together(job: Job) -> Iterator[Note]:
    """Warn about flows whose first windows come together in a queue that does not hold them."""
    starting: dict[tuple[int, str, str], list[Flow]] = {}
    limits: dict[tuple[str, str], int] = {}
    packet = job["mtu"] + ETHERNET_HEADER_BYTES
    for flow in _bulk(job):
        hop = bottleneck_over_time(_forward(job, flow), _end_ns(flow)).at(flow["start_ns"])
        queue = queue_over_time(hop.direction).at(flow["start_ns"]) if hop else None
        if hop is None or queue is None:
            continue
        starting.setdefault((flow["start_ns"], hop.link, hop.direction_name), []).append(flow)
        room = queue_limit_bytes(queue, packet)
        if room is not None:
            limits[hop.link, hop.direction_name] = room // packet
    for (_start_ns, link, way), flows in starting.items():
        first = len(flows) * INITIAL_WINDOW
        if len(flows) > MANY_FLOWS and first > 2 * limits.get((link, way), first):
            yield (
                f"{len(flows)} flows start at the same moment, and their first {first} packets do not fit into a queue "
                f"of {limits[link, way]}: some flows may lose all of them and stay behind for seconds; set start_jitter"
            )


def _offloads(job: Job) -> Iterator[Note]:
    if job["offloads"]:
        yield "offloads are on: a single packet may have up to 64 KiB, also where the limit of a queue counts packets"
    if job["offloads"] or any(settings["offloads"] for settings in _settings(job)):
        for name, netem in _netems(job):
            if mean_loss(netem) not in (0, 1):
                yield About(
                    name,
                    ": with offloads, netem loses up to 64 KiB at once: losses are fewer and longer than with single "
                    "packets",
                )


def _settings(job: Job) -> list[NodeSettings]:
    return [settings for node in job["nodes"] if (settings := node.get("settings"))]


def _small_buffer(job: Job) -> Iterator[Note]:
    for flow in job["flows"]:
        rates = _rate(job, flow)
        if rates is None:
            continue
        bdps = combined(
            [rates, base_rtt_over_time(job, flow).map(float)], lambda now: int(now[0] * now[1]) // 8_000_000_000
        )
        bdp = max(then for _since, _until, then in bdps.spans(flow["start_ns"], _end_ns(flow)))
        named, size = _smallest_buffer(job, flow)
        # The kernel reserves half of a socket buffer for its own bookkeeping.
        if bdp > size // 2:
            yield (
                f"{named} is {format_size(size)}, and only half of it is available to the window. This is less than "
                f"the BDP of {format_size(bdp)}, so the buffer limits the flow instead of congestion control"
            )
            return


def _smallest_buffer(job: Job, flow: Flow) -> tuple[str, int]:
    """Return what sets the smallest of the buffers that a flow's data pass, and its size in bytes."""
    found = []
    for host, sysctl in ((flow["destination"], "net.ipv4.tcp_rmem"), (flow["source"], "net.ipv4.tcp_wmem")):
        sizes = _sysctls(job, host).get(sysctl, "").split()
        if flow["protocol"] == "tcp" and len(sizes) == 3 and sizes[2].isdigit():
            # The sysctl is set after the experiment's socket_buffer, and replaces it.
            found.append((f"the largest size in {sysctl} of {host}", int(sizes[2])))
        else:
            found.append(("socket_buffer", job["socket_buffer_bytes"]))
    return min(found, key=itemgetter(1))


def _sysctls(job: Job, host: str) -> Mapping[str, str]:
    settings = (node.get("settings") for node in job["nodes"] if node["name"] == host)
    return next((own["sysctls"] for own in settings if own), {})


def _metrics_saved(job: Job) -> Iterator[Note]:
    hosts = list(dict.fromkeys(host for flow in _tcp(job) for host in (flow["source"], flow["destination"])))
    for host in hosts:
        if _sysctls(job, host).get("net.ipv4.tcp_no_metrics_save") == "0":
            does = "what earlier connections found out (ssthresh, RTT): flows are not independent of each other"
            yield About(host, f" starts connections with {does}", f" start connections with {does}")


def _tcp(job: Job) -> list[Flow]:
    return [flow for flow in job["flows"] if flow["protocol"] == "tcp"]


def _overload(job: Job) -> Iterator[Note]:
    """Warn about flows that do not adapt to the network and offer more than it can carry: UDP and short flows."""
    for flow in job["flows"]:
        offered = offered_bps(flow)
        if offered is None or (flow["protocol"] == "tcp" and flow["arrivals"] is None):
            continue
        rates = _rate(job, flow)
        if rates is None:
            continue
        mean_bps = mean(rates, flow["start_ns"], _end_ns(flow))
        if offered > mean_bps:
            effect = "its short flows accumulate" if flow["arrivals"] is not None else "the excess is lost"
            average = " on average" if len(rates.changes) > 1 else ""
            what = f"{format_rate(offered, 3)} to a path of {format_rate(mean_bps, 3)}{average}: {effect}"
            yield About(flow["name"], f" offers {what}", f" each offer {what}")


def _busy(job: Job) -> Iterator[Note]:
    if job["kernel"] in kernels.UML:
        return  # Its processor is never busy.
    carried, hops, unlimited = load(job)
    share = busy_share(job)
    if unlimited:
        yield (
            "a flow's path has no rate limit: the flow will keep the virtual processor fully busy, and the trial will "
            "be invalid"
        )
    elif share > BUSY_SHARE:
        yield (
            f"about {format_rate(round(sum(carried)))} over {hops} nodes may keep the virtual processor {share:.0%} "
            f"busy; above {BUSY_SHARE:.0%}, the check 'cpu' warns about the trial"
        )


def _directions(job: Job) -> Iterator[tuple[str, Direction]]:
    for link in job["links"]:
        yield f"{link['a']} → {link['b']}", link["ab"]
        yield f"{link['b']} → {link['a']}", link["ba"]


def _netems(job: Job) -> Iterator[tuple[str, Netem]]:
    for name, direction in _directions(job):
        states = [netem for _at, netem in netem_over_time(direction).changes]
        yield from ((name, netem) for netem in states if netem is not None)


def _random(job: Job) -> Iterator[Note]:
    for name, netem in _netems(job):
        loss, jitter, reorder = netem["loss"], netem["jitter"], netem["reorder"]
        if loss and loss["model"] == "random" and len(loss["values"]) > 1:
            probability, correlation = loss["values"]
            advice = "; use the model gemodel for bursts of loss"
            yield from _correlated(name, probability, correlation, "lost", advice)
        if reorder and reorder["correlation"]:
            yield from _correlated(name, reorder["probability"], reorder["correlation"], "reordered")
        if jitter and jitter["correlation"]:
            yield About(
                name,
                ": the kernel does not correlate jitter: it takes the correlated random number modulo a small "
                "number, which removes the correlation",
            )
        if jitter and not jitter["keep_order"]:
            yield About(name, ": jitter lets packets overtake each other; to prevent this, set keep_order: true")
        if jitter and jitter["spread_ns"] > netem["delay_ns"]:
            yield About(
                name,
                f": jitter of {format_duration(jitter['spread_ns'])} is more than the delay of "
                f"{format_duration(netem['delay_ns'])}: no packet can arrive before it is sent, so the mean delay will "
                "be larger than declared",
            )


def _correlated(name: str, probability: float, correlation: float, happens: str, advice: str = "") -> Iterator[Note]:
    """Warn about a probability that netem's correlation changes; it leaves 50 % and 100 % as they are."""
    if correlation == 1 and probability < 1:
        yield About(name, f": with a correlation of 100%, either all packets will be {happens} or none{advice}")
    elif probability not in (0.5, 1):
        share = correlated_share(probability, correlation)
        about = f"about {format_percent(share, 2)}" if share >= 0.0005 else "less than 0.05%"
        much = "far fewer" if probability < 0.5 else "more"
        yield About(
            name,
            f": with a correlation, {much} packets than {format_percent(probability)} will be {happens}, "
            f"{about}, because the kernel averages uniform random numbers{advice}",
        )


def _unused(job: Job) -> Iterator[Note]:
    """Warn about links that no packet of a flow or probe crosses although they connect what is connected anyway."""
    pairs = {(user["source"], user["destination"]) for user in (*job["flows"], *job["probes"])}
    both_ways = {(source, destination) for pair in pairs for source, destination in (pair, pair[::-1])}
    used = {hop.link for source, destination in both_ways for hop in route(job, source, destination)}
    unused = [
        f"{link['a']} ↔ {link['b']}"
        for link in job["links"]
        if link["name"] not in used and _connected(job, link["a"], link["b"], without=link["name"])
    ]
    if unused:
        more = f" and {len(unused) - MAX_UNUSED} more" if len(unused) > MAX_UNUSED else ""
        yield (
            f"no flow or probe uses {', '.join(unused[:MAX_UNUSED])}{more}: packets take the path with the fewest "
            "hops, and of several such paths the one whose links are declared first"
        )


def _connected(job: Job, start: str, end: str, *, without: str) -> bool:
    reached, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        for link in job["links"]:
            if link["name"] != without and node in (link["a"], link["b"]):
                other = link["b"] if node == link["a"] else link["a"]
                if other not in reached:
                    reached.add(other)
                    waiting.append(other)
    return end in reached


def _ecn(job: Job) -> Iterator[Note]:
    """Warn if flows use ECN but no queue marks packets.

    Some queue disciplines mark packets only with the parameter ``ecn``, others unless they have the parameter
    ``noecn``; all of them mark only packets of flows that have negotiated ECN.
    """
    marking = any(_marks(direction) for _name, direction in _directions(job))
    aqm = any(
        direction["queue"] and direction["queue"]["discipline"] not in ("bfifo", "pfifo", "sfq", "fq")
        for _name, direction in _directions(job)
    )
    if job["ecn"] == "on" and not marking:
        yield (
            "ecn is on, but no queue marks packets: "
            + (
                "codel, pie and red need parameters: {ecn: true}"
                if aqm
                else "the queues of this experiment only drop them"
            )
        )
    uses_dctcp = any(flow["congestion_control"] == "dctcp" for flow in job["flows"])
    if uses_dctcp and job["ecn"] != "on":
        # iperf3 sets the algorithm only when the connection is established (iperf_create_streams() in iperf_api.c), so
        # that DCTCP cannot ask for ECN itself; with passive, nobody asks for it.
        yield f"dctcp behaves like reno, because with ecn: {job['ecn']} its connections do not use ECN; set ecn: on"
    elif uses_dctcp and not marking:
        yield "dctcp behaves like reno, because no queue marks packets"


def _marks(direction: Direction) -> bool:
    queue = direction["queue"]
    if queue is None:
        return False
    if queue["discipline"] in ("fq_codel", "cake"):
        return "noecn" not in queue["parameters"]
    return "ecn" in queue["parameters"] or "ce_threshold" in queue["parameters"]


def _ramps(job: Job) -> Iterator[Note]:
    for name, direction in _directions(job):
        rates = [change for change in direction["changes"] if change["rate_bps"]]
        for before, after in pairwise(rates):
            interval_ns = after["at_ns"] - before["at_ns"]
            packet_ns = (job["mtu"] + ETHERNET_HEADER_BYTES) * 8 * 10**9 // (before["rate_bps"] or 1)
            if interval_ns and packet_ns > BURST_OF_RAMPS * interval_ns:
                yield About(
                    name,
                    ": each change of the rate lets one additional packet pass, which is "
                    f"{packet_ns / interval_ns:.1%} of the traffic between two of these changes",
                )
                break


def _sender_queue(job: Job) -> Iterator[Note]:
    hosts = {node["name"] for node in job["nodes"] if node["role"] == "host"}
    limited: dict[str, None] = {}
    for flow in job["flows"]:
        path = _forward(job, flow)
        bottleneck = bottleneck_over_time(path, _end_ns(flow))
        own_ns = sum(
            until_ns - since_ns
            for since_ns, until_ns, hop in bottleneck.spans(flow["start_ns"], _end_ns(flow))
            if hop == path[0]
        )
        if flow["source"] in hosts and own_ns > BRIEF_SHARE * flow["duration_ns"]:
            limited[flow["source"]] = None
    if limited:
        who = f"{listed(limited)} {'send through their' if len(limited) > 1 else 'sends through its'}"
        yield (
            f"{who} own rate limit: TCP Small Queues (TSQ) keeps the queue there short, so that it never fills like "
            "that of a router"
        )


_NOTES: tuple[Callable[[Job], Iterator[Note]], ...] = (
    _settling,
    _overload,
    _windows,
    _short,
    _together,
    _small_buffer,
    _busy,
    _sender_queue,
    _unused,
    _random,
    _ecn,
    _metrics_saved,
    _ramps,
    _offloads,
)
