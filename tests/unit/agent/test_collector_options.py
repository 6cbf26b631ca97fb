# SPDX-License-Identifier: Apache-2.0
"""Check how the options of collectors are written to their BPF maps, and that all places list the same collectors."""

from __future__ import annotations

import re
import struct

from lab.agent.collectors.options import settings
from lab.agent.collectors.registry import ALWAYS, COLLECTORS, RECORDERS
from lab.engine.selftest import self_test_job
from lab.experiment.schema.collect import Collect
from lab.job.bpf_sources import BPF_SOURCES

PORTS = (5201, 5204)


def test_ports_are_the_flows_unless_one_is_named() -> None:
    given = settings("life", {}, PORTS).tables["life_filter"]
    assert (given["port_low"], given["port_high"]) == PORTS
    assert (given["ports_local"], given["ports_remote"]) == (1, 1)
    given = settings("life", {"port": 80}, PORTS).tables["life_filter"]
    assert (given["port_low"], given["port_high"]) == (80, 80)


def test_a_sender_has_the_port_at_its_remote_end() -> None:
    for ends, sides in {"senders": (0, 1), "receivers": (1, 0), "both": (1, 1)}.items():
        given = settings("tcp_probe", {"ends": ends}, PORTS).tables["tcp_probe_filter"]
        assert (given["ports_local"], given["ports_remote"]) == sides


def test_addresses_are_compared_as_they_lie_in_memory() -> None:
    given = settings("packets", {"host": "10.0.1.2", "source": "fd00::1"}, PORTS).tables["packets_filter"]
    assert struct.pack("<2Q", *given["either"]).hex() == "00000000000000000000ffff0a000102"
    assert struct.pack("<2Q", *given["local"]).hex() == "fd000000000000000000000000000001"
    assert (given["has_either"], given["has_local"], given.get("has_remote", 0)) == (1, 1, 0)


def test_names_of_nodes_become_addresses() -> None:
    given = settings("states", {"destination": "d1"}, PORTS, {"d1": "10.0.3.2"}.__getitem__)
    assert struct.pack("<2Q", *given.tables["states_filter"]["remote"]).hex().endswith("0a000302")


def test_hooks_that_belong_to_an_option_are_attached_with_it() -> None:
    assert settings("tcp_probe", {}, PORTS).hooks == frozenset()
    assert settings("tcp_probe", {"transmit": True}, PORTS).hooks == {"transmit"}
    assert settings("drops", {"latency": True}, PORTS).hooks == {"latency"}
    assert settings("drops", {"latency": False}, PORTS).hooks == frozenset()


def test_every_collector_is_known_everywhere() -> None:
    names = list(COLLECTORS)
    assert list(Collect.model_fields) == names
    assert list(self_test_job()["collectors"]) == names
    files = {path.name.split(".")[0] for path in BPF_SOURCES.glob("*.bpf.c")}
    # links.bpf.c belongs to lab/agent/topology/link_programs.py; interrupted.bpf.c is part of every collector, and the
    # others are what accounts.bpf.c and sockets.bpf.c follow.
    assert sorted(files - {"links", "interrupted", "flows", "control", "datagrams"}) == sorted(RECORDERS)
    assert set(RECORDERS) - set(names) == set(ALWAYS)
    for name, collector in RECORDERS.items():
        source = (BPF_SOURCES / f"{name}.bpf.c").read_text()
        for hook in collector.hooks:
            plain = f"\nint {hook.program}(struct bpf_raw_tracepoint_args *ctx)"
            twice = rf"\nINTERRUPTIBLE_PROGRAM\({hook.program}, \d\)\n"
            assert re.search(twice, source) if hook.is_interruptible else plain in source
        used = "".join((BPF_SOURCES / f"{file}.bpf.c").read_text() for file in (*collector.follows, name))
        assert all(re.search(rf"^BPF_\w+\(.*\b{table}\b", used, re.MULTILINE) for table in collector.memory), name
