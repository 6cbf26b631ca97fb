# SPDX-License-Identifier: Apache-2.0
"""Estimate what the flows and probes of a job ask of the network and of a virtual processor.  No I/O."""

from __future__ import annotations

from lab.experiment.resolve.paths import route
from lab.job.over_time import delay_over_time, mean, path_rate_over_time
from lab.job.protocol import ETHERNET_HEADER_BYTES, Flow, Job, Probe

__all__ = ["busy_share", "exchanges", "load", "offered_bps"]

PACKET_HOP_NS = 9_200
"""Time that the single virtual processor spends on a packet and its acknowledgement at each node of the path.

It includes the work of the end hosts and of the collector tcp_probe.  At 100 Mbit/s over the four nodes of a dumbbell,
the processor handles 8,260 segments per second and is busy for 30 % of the time.
"""
PROBE_NS = 60_000
"""Time that the single virtual processor spends on a request of a latency probe and its response at both ends.

A ping every millisecond beside a flow of 10 Mbit/s over four nodes keeps the processor busy for 12.5 % of the time.
"""


def offered_bps(flow: Flow) -> int | None:
    """Return the rate in bit/s at which a flow's application sends; None if it sends as much as the path carries."""
    if flow["arrivals"] is not None:
        return sum(flow["arrivals"]["bytes"]) * 8 * 10**9 // flow["duration_ns"]
    return flow["rate_bps"]


def busy_share(job: Job) -> float:
    """Estimate the share of time for which the virtual processor will be busy.

    It follows from the rates of the bottlenecks and the intervals of latency probes.
    """
    carried, hops, unlimited = load(job)
    if unlimited:
        return 1.0
    packets = sum(carried) / 8 / (job["mtu"] + ETHERNET_HEADER_BYTES)
    return packets * hops * PACKET_HOP_NS / 1e9 + sum(_probe_share(job, probe) for probe in job["probes"])


def exchanges(job: Job, probe: Probe) -> float:
    """Return how many requests a latency probe sends in a trial."""
    # A probe over TCP sends a request only when the previous one has been answered.
    there, back = (probe["source"], probe["destination"]), (probe["destination"], probe["source"])
    rtt_ns = delay_over_time((*route(job, *there), *route(job, *back))).at(probe["start_ns"])
    interval_ns = max(probe["interval_ns"], rtt_ns) if probe["kind"] == "tcp" else probe["interval_ns"]
    return probe["duration_ns"] / interval_ns


def _probe_share(job: Job, probe: Probe) -> float:
    nodes = len(route(job, probe["source"], probe["destination"])) + 1
    return exchanges(job, probe) * (nodes * PACKET_HOP_NS + PROBE_NS) / job["duration_ns"]


def load(job: Job) -> tuple[list[float], int, bool]:
    """Return the traffic that the job's flows send at most.

    The values are the rate of each flow in bit/s, if flows share the capacity of every link equally (max-min fairness);
    the largest number of nodes on a path; and whether a flow's path has no limit at all.
    """
    wanted: dict[str, float] = {}
    users: dict[tuple[str, str], set[str]] = {}
    free: dict[tuple[str, str], float] = {}
    unlimited, hops = False, 0
    for flow in job["flows"]:
        path = route(job, flow["source"], flow["destination"])
        hops = max(hops, len(path) + 1)
        limited = [hop for hop in path if hop.direction["rate_bps"]]
        offered = offered_bps(flow)
        if offered is None and not limited:
            unlimited = True
            continue
        wanted[flow["name"]] = float("inf") if offered is None else offered
        for hop in limited:
            users.setdefault((hop.link, hop.direction_name), set()).add(flow["name"])
            capacity = path_rate_over_time([hop], job["duration_ns"])
            free[hop.link, hop.direction_name] = mean(capacity, 0, job["duration_ns"]) if capacity else 0
    rates: dict[str, float] = {}
    while wanted:
        # Either some flow needs no more than every link has for it, or some link limits its flows to equal parts.
        parts = {link: free[link] / len(flows) for link, flows in users.items() if flows}
        least = min(parts, key=lambda link: parts[link], default=None)
        modest = min(wanted, key=lambda name: wanted[name])
        if least is None or wanted[modest] <= parts[least]:
            settled = {modest: wanted[modest]}
        else:
            settled = dict.fromkeys(sorted(users[least]), parts[least])
        for name, rate in settled.items():
            rates[name] = rate
            del wanted[name]
            for link, flows in users.items():
                if name in flows:
                    flows.remove(name)
                    free[link] -= rate
    return list(rates.values()), hops, unlimited
