# SPDX-License-Identifier: Apache-2.0
"""Test script for the guest: build networks as the agent does, send numbered datagrams, and report which arrive."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lab.agent.topology.addressing import ports
from lab.agent.topology.link_programs import LinkPrograms, needs_programs
from lab.agent.topology.netns import network_namespace
from lab.agent.topology.network import Network
from lab.job.bpf_sources import BPF_SOURCES
from lab.job.protocol import Job

PORT = 9000
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SO_SNDBUFFORCE = 32
HEADER = struct.Struct("!IQ")


@contextlib.contextmanager
def running(job: Job) -> Iterator[Network]:
    programs = LinkPrograms(BPF_SOURCES, job, ports(job)) if needs_programs(job) else None
    network = Network(job, programs)
    try:
        network.start()
        # A kernel thread activates the queues of an interface after its carrier has come up; until then, the queues
        # drop packets.
        time.sleep(0.1)
        if programs is not None:
            programs.begin(time.monotonic_ns())
        yield network
    finally:
        network.stop()
        if programs is not None:
            programs.close()


def receiver(network: Network, node: str) -> socket.socket:
    with network_namespace(network.pid(node)):
        found = socket.socket(socket.AF_INET6 if network.job["ip"] == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    found.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if network.job["ip"] == "ipv4":
        found.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        found.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
    else:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    found.bind((network.address_of(node), PORT))
    found.setblocking(False)
    return found


def sender(network: Network, node: str, tos: int = 0) -> socket.socket:
    with network_namespace(network.pid(node)):
        found = socket.socket(socket.AF_INET6 if network.job["ip"] == "ipv6" else socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20)
    if tos:
        found.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
    return found


def drain(inbox: socket.socket) -> list[list[int]]:
    """Return [number, time sent, time received, TTL or hop limit, ECN field] of each datagram as it arrived."""
    found: list[list[int]] = []
    while True:
        try:
            data, extra, _flags, _source = inbox.recvmsg(2048, 256)
        except BlockingIOError:
            return found
        number, sent_ns = HEADER.unpack_from(data)
        seen = {(level, kind): value for level, kind, value in extra}
        seconds, nanoseconds = struct.unpack("qq", seen[socket.SOL_SOCKET, SO_TIMESTAMPNS])
        hop_limit = seen.get((socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT), b"\0\0\0\0")
        ttl = seen.get((socket.IPPROTO_IP, socket.IP_TTL), hop_limit)
        tos = seen.get((socket.IPPROTO_IP, socket.IP_TOS), b"\0")
        found.append([number, sent_ns, seconds * 10**9 + nanoseconds, struct.unpack("i", ttl)[0], tos[0] & 3])


def train(job: Job, packets: int, interval_ns: int, size: int, tos: int = 0) -> dict[str, Any]:
    """Send datagrams with *size* bytes of payload from s1 to d1, one each *interval_ns*.

    The schedules of links start with the first datagram.
    """
    with running(job) as network:
        inbox, outbox = receiver(network, "d1"), sender(network, "s1", tos)
        address = (network.address_of("d1"), PORT)
        changes = network.changes()
        filler = bytes(size - HEADER.size)
        if network.programs is not None:
            network.programs.begin(time.monotonic_ns())
        began = time.monotonic_ns()
        for number in range(packets):
            due = began + number * interval_ns
            while changes and began + changes[0][0] <= due:
                changes.pop(0)[1]()
            wait = due - time.monotonic_ns()
            if wait > 0:
                time.sleep(wait / 1e9)
            outbox.sendto(HEADER.pack(number, time.time_ns()) + filler, address)
        # In this time, packets in queues are sent, and packets in flight arrive.
        time.sleep(3)
        qdiscs = [qdisc for node in network.read_qdiscs().values() for qdisc in node]
        return {"packets": drain(inbox), "qdiscs": qdiscs, "first_ns": time.time_ns() - (time.monotonic_ns() - began)}


def multicast_packets() -> int:
    """Return how many IPv6 packets to groups the nodes of this network namespace have sent."""
    counters = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(counters["Ip6OutMcastPkts"])


def everyone_to_everyone(job: Job) -> dict[str, Any]:
    """Send one datagram from each host to each other host.

    Return "source destination" → TTL or hop limit on arrival, and how many packets to groups each node has sent.
    """
    names = [node["name"] for node in job["nodes"] if node["role"] == "host"]
    with running(job) as network:
        inboxes = {name: receiver(network, name) for name in names}
        for number, name in enumerate(names):
            outbox = sender(network, name)
            for other in names:
                if other != name:
                    outbox.sendto(HEADER.pack(number, time.time_ns()), (network.address_of(other), PORT))
                    # Where computing takes no time, the queues would have to hold all datagrams at once.
                    time.sleep(50e-6)
            outbox.close()
        time.sleep(1)
        arrived = {
            f"{names[number]} {name}": ttl
            for name, inbox in inboxes.items()
            for number, _sent, _received, ttl, _ecn in drain(inbox)
        }
        for inbox in inboxes.values():
            inbox.close()
        multicast = {}
        for node in job["nodes"]:
            with network_namespace(network.pid(node["name"])):
                multicast[node["name"]] = multicast_packets()
        return {"arrived": arrived, "multicast": multicast}


def main(asked: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    what: dict[str, Callable[..., dict[str, Any]]] = {"train": train, "everyone": everyone_to_everyone}
    return {name: what[kind](*arguments) for name, (kind, *arguments) in asked.items()}
