# SPDX-License-Identifier: Apache-2.0
"""Measure each path before the traffic: the round-trip time with ping, the rate from departures at the bottleneck."""

from __future__ import annotations

import socket

from lab.agent.process import CommandError, run
from lab.agent.topology.addressing import Port
from lab.agent.topology.departures import Departures
from lab.agent.topology.links import leaving
from lab.agent.topology.netns import network_namespace
from lab.agent.topology.network import Network
from lab.agent.topology.ping import parse_ping
from lab.job.protocol import ETHERNET_HEADER_BYTES, Job, PathCalibration, Queue

_TRAIN_NS = 40_000_000
"""How long a train of packets keeps the bottleneck busy, in nanoseconds, if the queue has room for such a train."""
_FEWEST_TRAIN_PACKETS, _MOST_TRAIN_PACKETS = 64, 1000
_FEWEST_PACKETS = 8
_PATIENCE_NS = 100_000_000
"""How much longer than twice its shortest time a train is waited for, in nanoseconds."""
_DISCARD_PORT = 9
_UDP_HEADERS = {"ipv4": 28, "ipv6": 48}


def calibrate(network: Network) -> list[PathCalibration]:
    """Calibrate the path of each (source, destination) pair of the job's flows, each pair once."""
    pairs = dict.fromkeys((flow["source"], flow["destination"]) for flow in network.job["flows"])
    return [_calibrate_path(network, source, destination) for source, destination in pairs]


def _calibrate_path(network: Network, source: str, destination: str) -> PathCalibration:
    count = network.job["calibration"]["ping_count"]
    result: PathCalibration = {
        "source": source,
        "destination": destination,
        "sent": count,
        "answered": 0,
        "min_rtt_ns": None,
        "max_rtt_ns": None,
        "rate_bps": None,
    }
    if count:
        result["answered"], result["min_rtt_ns"], result["max_rtt_ns"] = _ping(network, source, destination, count)
    bottleneck = _bottleneck(network, source, destination)
    if count and bottleneck is not None:
        result["rate_bps"] = _measure_rate(network, source, destination, bottleneck)
    return result


def _ping(network: Network, source: str, destination: str, count: int) -> tuple[int, int | None, int | None]:
    with network_namespace(network.pid(source)):
        # On a path with random loss, some or even all echo requests may be lost.  This is not an error, although ping
        # then exits with a status other than 0.
        try:
            output = run(
                ["ping", "-n", "-q", "-c", str(count), "-i", "0.01", "-W", "2", network.address_of(destination)]
            )
        except CommandError as exc:
            output = str(exc)
            if "packet loss" not in output:
                raise
    return parse_ping(output)


def _bottleneck(network: Network, source: str, destination: str) -> tuple[Port, int, Queue] | None:
    """Return the hop with the lowest rate limit as (port, rate in bit/s, queue); None if no hop has a rate limit."""
    shaped = []
    for port in network.path(source, destination):
        direction = leaving(network.job, port)
        if direction["rate_bps"] is not None and direction["queue"] is not None:
            shaped.append((direction["rate_bps"], port, direction["queue"]))
    if not shaped:
        return None
    rate, port, queue = min(shaped, key=lambda entry: entry[0])
    return port, rate, queue


def _train_length(queue: Queue, rate_bps: int, packet_bytes: int) -> int:
    """Return how many packets keep the bottleneck busy for :data:`_TRAIN_NS`, but no more than the queue can hold."""
    wanted = rate_bps * _TRAIN_NS // (8_000_000_000 * packet_bytes)
    room = min(max(wanted, _FEWEST_TRAIN_PACKETS), _MOST_TRAIN_PACKETS)
    if queue["limit_bytes"] is not None:
        room = min(room, queue["limit_bytes"] // packet_bytes)
    if queue["limit_packets"] is not None:
        room = min(room, queue["limit_packets"])
    return room


def _measure_rate(network: Network, source: str, destination: str, bottleneck: tuple[Port, int, Queue]) -> int | None:
    """Send a back-to-back train of full-size packets and derive the rate in bit/s from their departures.

    The rate is measured from the departure of an early packet of the train to that of the last one.  The delay before
    the first packet and the initial fill of the token bucket therefore do not count.  Returns None if the queue is too
    short for a meaningful train, or if too few departures were observed.
    """
    job: Job = network.job
    port, rate, queue = bottleneck
    packet = job["mtu"] + ETHERNET_HEADER_BYTES
    train = _train_length(queue, rate, packet)
    if train < _FEWEST_PACKETS:
        return None
    family = socket.AF_INET6 if job["ip"] == "ipv6" else socket.AF_INET
    with network_namespace(network.pid(source)):
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with network_namespace(network.pid(port.node)):
        departures = Departures(port.interface, packet)
    with sender, departures:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        payload = bytes(job["mtu"] - _UDP_HEADERS[job["ip"]])
        for _ in range(train):
            sender.sendto(payload, (network.address_of(destination), _DISCARD_PORT))
        shortest_ns = train * packet * 8 * 1_000_000_000 // rate
        times = departures.wait_for(train, shortest_ns, 2 * shortest_ns + _PATIENCE_NS)
    # The first two packets may leave at once, with the tokens that are already in the bucket.
    first = 2
    if len(times) < _FEWEST_PACKETS // 2:
        return None
    return round((len(times) - 1 - first) * packet * 8 * 1_000_000_000 / (times[-1] - times[first]))
