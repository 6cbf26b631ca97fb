# SPDX-License-Identifier: Apache-2.0
"""Emulate link properties for which tc has no qdisc, with BPF classifiers: listed losses and capacity files.

With listed losses, a link loses the packets whose numbers are given.  With a capacity file, a link sends packets at the
times that the file gives.  The programs are in ``bpf/links.bpf.c``; they are compiled when a job needs them.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.agent.collectors.bcc_loader import compile_programs
from lab.agent.collectors.btf import KernelTypes
from lab.agent.collectors.registry import PRIVATE_TYPES
from lab.agent.topology.addressing import Port
from lab.agent.topology.links import arriving, ingress_command, leaving
from lab.agent.topology.management import FILTER_PRIORITY
from lab.agent.topology.pins import Pins
from lab.job.over_time import opportunities_ms
from lab.job.protocol import ETHERNET_HEADER_BYTES, Capacity, Job

MAX_SLOTS = 256
MAX_OPPORTUNITIES = 1 << 20
_PROGRAM_TYPE_SCHED_CLS = 3
_NEVER_BINDS = 1_000_000


class TooManyError(Exception):
    """The job has more such links, or longer capacity files, than the BPF maps have room for."""


def needs_programs(job: Job) -> bool:
    """Return whether any link of the job has a capacity file or listed losses."""
    directions = (direction for link in job["links"] for direction in (link["ab"], link["ba"]))
    return any(direction["capacity"] or direction["lost_packets"] for direction in directions)


class LinkPrograms:
    """The loaded BPF programs of a job's links, with one slot in their maps for each emulated property of a link.

    The number of the slot is also the mark (``skb->mark``) by which the programs tell the packets of links apart.
    """

    def __init__(self, sources: Path, job: Job, ports: Sequence[Port]) -> None:
        """Compile, load and pin the programs, and fill their maps.

        Raises:
            LoaderError: The programs cannot be compiled, loaded or pinned.
            TooManyError: The maps do not have enough room for the job.
        """
        self._job = job
        self._pins = Pins()
        self._paths: dict[str, Path] = {}
        self._bpf = compile_programs(sources, ["links"], KernelTypes(PRIVATE_TYPES))
        self._slots = {
            (port.node, port.interface, kind): number
            for number, (port, kind) in enumerate(
                (port, kind) for port in ports for kind in ("lost", "capacity") if self._declared(port, kind)
            )
        }
        if len(self._slots) >= MAX_SLOTS:
            raise TooManyError(
                f"the topology has more than {MAX_SLOTS - 1} link directions with listed losses or a capacity file; "
                f"{MAX_SLOTS - 1} is the maximum"
            )
        for name in ("links_lose_listed", "links_follow_capacity"):
            descriptor = self._bpf.load_func(name, _PROGRAM_TYPE_SCHED_CLS).fd
            self._paths[name] = self._pins.pin(name, descriptor)
        self._fill(ports)

    def commands(self, port: Port) -> tuple[list[str], list[str]]:
        """Return ``tc -batch`` lines for the packets that leave through *port* and for those that arrive there.

        Both lists are empty if the port needs no program.  The lines for arriving packets must be placed between the
        line that adds clsact and the filter that redirects packets to the ifb, because redirected packets would no
        longer reach the program.
        """
        leaves, arrives = [], []
        if (slot := self._slots.get((port.node, port.interface, "capacity"))) is not None:
            device = f"dev {port.interface}"
            leaves = [
                # The classifier sets the departure time of each packet, and fq holds the packet until then.  The limits
                # are so high that fq itself never drops a packet.
                f"qdisc add {device} root handle 1: fq limit {_NEVER_BINDS} flow_limit {_NEVER_BINDS} nopacing "
                "horizon 1000s timer_slack 1us",
                ingress_command(port.interface),
                *self._filters(port, "egress", slot, "links_follow_capacity"),
            ]
        if (slot := self._slots.get((port.node, port.interface, "lost"))) is not None:
            arrives = self._filters(port, "ingress", slot, "links_lose_listed")
        return leaves, arrives

    def begin(self, start_ns: int) -> None:
        """Start all capacity files at ``start_ns`` on CLOCK_MONOTONIC, and the counting for listed losses now.

        Until then, a capacity file goes through the end of its period.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        for (_node, _interface, kind), slot in self._slots.items():
            if kind == "capacity":
                table = self._bpf["links_capacities"]
                entry = table[ctypes.c_int(slot)]
                periods = -(-max(0, start_ns - now) // entry.period_ns)
                entry.start_ns, entry.next, entry.used, entry.dropped = start_ns - periods * entry.period_ns, 0, 0, 0
            else:
                table = self._bpf["links_counters"]
                entry = table[ctypes.c_int(slot)]
                entry.packets = 0
            table[ctypes.c_int(slot)] = entry

    def close(self) -> None:
        """Remove the pins of the programs from the BPF file system."""
        self._pins.close()

    def _declared(self, port: Port, kind: str) -> bool:
        if kind == "capacity":
            return leaving(self._job, port)["capacity"] is not None
        return bool(arriving(self._job, port)["lost_packets"])

    def _filters(self, port: Port, where: str, slot: int, program: str) -> list[str]:
        add = f"filter add dev {port.interface} {where} protocol all"
        return [
            f"{add} prio {FILTER_PRIORITY + 1} matchall action skbedit mark {slot} continue",
            f"{add} prio {FILTER_PRIORITY + 2} bpf object-pinned {self._paths[program]} direct-action",
        ]

    def _fill(self, ports: Sequence[Port]) -> None:
        least = (self._job["mtu"] + ETHERNET_HEADER_BYTES) // 2
        place = 0
        for port in ports:
            if (slot := self._slots.get((port.node, port.interface, "lost"))) is not None:
                counters, listed = self._bpf["links_counters"], self._bpf["links_listed"]
                entry = counters.Leaf()
                entry.least_bytes = least
                counters[ctypes.c_int(slot)] = entry
                for number in arriving(self._job, port)["lost_packets"]:
                    key = listed.Key()
                    key.slot, key.number = slot, number
                    listed[key] = ctypes.c_uint8(1)
            if (slot := self._slots.get((port.node, port.interface, "capacity"))) is not None:
                place = self._fill_capacity(slot, place, leaving(self._job, port))

    def _fill_capacity(self, slot: int, place: int, direction: Any) -> int:
        capacity: Capacity = direction["capacity"]
        times = opportunities_ms(capacity)
        if place + len(times) > MAX_OPPORTUNITIES:
            raise TooManyError(
                f"the capacity files have more than {MAX_OPPORTUNITIES} opportunities in total; "
                f"{MAX_OPPORTUNITIES} is the maximum"
            )
        opportunities, capacities = self._bpf["links_opportunities"], self._bpf["links_capacities"]
        count = len(times)
        keys = (ctypes.c_int * count)(*range(place, place + count))
        opportunities.items_update_batch(keys, (ctypes.c_uint32 * count)(*times))
        entry = capacities.Leaf()
        entry.start_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        entry.period_ns = capacity["period_ms"] * 1_000_000
        entry.opportunity_bytes, entry.first, entry.count = capacity["packet_bytes"], place, count
        queue = direction["queue"]
        full = self._job["mtu"] + ETHERNET_HEADER_BYTES
        entry.limit_bytes = (
            (queue["limit_packets"] or 0) * full if queue["limit_bytes"] is None else queue["limit_bytes"]
        )
        capacities[ctypes.c_int(slot)] = entry
        return place + count
