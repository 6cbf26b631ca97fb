# SPDX-License-Identifier: Apache-2.0
"""Measure the built path before the traffic: round-trip time by ping, rate by the bottleneck's own counters."""

from __future__ import annotations

import re
import socket
import time

from lab.agent.process import CommandError, run
from lab.agent.topology.addressing import Port
from lab.agent.topology.links import leaving
from lab.agent.topology.netns import network_namespace
from lab.agent.topology.network import Network
from lab.job.protocol import ETHERNET_HEADER_BYTES, Job, PathCalibration, Queue

_TRAIN_NS = 40_000_000
"""How long the bottleneck is kept busy, where its queue is deep enough for that."""
_FEWEST_TRAIN_PACKETS, _MOST_TRAIN_PACKETS = 64, 1000
_FEWEST_PACKETS = 8
_DISCARD_PORT = 9
_UDP_HEADERS = {"ipv4": 28, "ipv6": 48}
_REPLY = re.compile(r"icmp_seq=\d+ .*time=([0-9.]+) ms")


def calibrate(network: Network) -> list[PathCalibration]:
    """One entry per pair of hosts that a flow connects, each pair once."""
    pairs = dict.fromkeys((flow["source"], flow["destination"]) for flow in network.job["flows"])
    return [_calibrate_path(network, source, destination) for source, destination in pairs]


def _calibrate_path(network: Network, source: str, destination: str) -> PathCalibration:
    count = network.job["calibration"]["ping_count"]
    result: PathCalibration = {
        "source": source,
        "destination": destination,
        "rtt_ns": _ping(network, source, destination, count) if count else [],
        "sent": count,
        "rate_bps": None,
    }
    bottleneck = _bottleneck(network, source, destination)
    if count and bottleneck is not None:
        result["rate_bps"] = _measure_rate(network, source, destination, bottleneck)
    return result


def _ping(network: Network, source: str, destination: str, count: int) -> list[int]:
    with network_namespace(network.pid(source)):
        # With random loss some, or all, of a few echo requests may get lost: that is no error here.
        try:
            shown = run(["ping", "-n", "-c", str(count), "-i", "0.01", "-W", "2", network.address_of(destination)])
        except CommandError as exc:
            shown = str(exc)
            if "packet loss" not in shown:
                raise
    return [round(float(found) * 1_000_000) for found in _REPLY.findall(shown)]


def _bottleneck(network: Network, source: str, destination: str) -> tuple[Port, int, Queue] | None:
    """The slowest shaped hop of the path: (port, rate in bit/s, queue)."""
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
    """Packets that keep the rate busy for :data:`_TRAIN_NS`, or as many as the queue surely holds."""
    wanted = rate_bps * _TRAIN_NS // (8_000_000_000 * packet_bytes)
    room = min(max(wanted, _FEWEST_TRAIN_PACKETS), _MOST_TRAIN_PACKETS)
    if queue["limit_bytes"] is not None:
        room = min(room, queue["limit_bytes"] // packet_bytes)
    if queue["limit_packets"] is not None:
        room = min(room, queue["limit_packets"])
    return room


def _measure_rate(network: Network, source: str, destination: str, bottleneck: tuple[Port, int, Queue]) -> int | None:
    """Send a back-to-back train of full-size packets and watch the bottleneck's byte counter.

    The rate is taken between the first and the last packet that is seen to leave, so neither the wait for the
    first nor the bucket's initial fill counts.  None where the queue is too short for a train that means anything.
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
    try:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        payload = bytes(job["mtu"] - _UDP_HEADERS[job["ip"]])
        address = (network.address_of(destination), _DISCARD_PORT)
        with network_namespace(network.pid(port.node)):
            before = _transmitted(port.interface)
            for _ in range(train):
                sender.sendto(payload, address)
            deadline = time.monotonic_ns() + 2 * train * packet * 8 * 1_000_000_000 // rate + 100_000_000
            changes = _watch(port.interface, before, train * packet, deadline)
    finally:
        sender.close()
    if len(changes) < _FEWEST_PACKETS // 2:
        return None
    # The first two packets may leave on the bucket's fill.
    (first_time, first_bytes), (last_time, last_bytes) = changes[2], changes[-1]
    return round((last_bytes - first_bytes) * 8 * 1_000_000_000 / (last_time - first_time))


def _watch(interface: str, before: int, expected: int, deadline: int) -> list[tuple[int, int]]:
    """(time in ns, bytes sent) at each change of the interface's counter."""
    changes: list[tuple[int, int]] = []
    last = before
    while last - before < expected and time.monotonic_ns() < deadline:
        now = _transmitted(interface)
        if now != last:
            changes.append((time.monotonic_ns(), now))
            last = now
    return changes


def _transmitted(interface: str) -> int:
    with open("/proc/thread-self/net/dev", encoding="ascii") as file:
        for line in file:
            name, _, counters = line.partition(":")
            if name.strip() == interface:
                return int(counters.split()[8])
    raise CommandError(f"/proc/net/dev does not show {interface}")
