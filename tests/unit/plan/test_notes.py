# SPDX-License-Identifier: Apache-2.0
"""The notes of ``lab check``: each is caused by changing one field of an experiment that has no notes."""

from __future__ import annotations

from typing import Any

import pytest

from lab.experiment.check.validate import validate
from lab.plan.description import notes
from lab.plan.plan import make_plan


def found(**fields: Any) -> list[str]:
    """Return the notes on a plain experiment with some fields changed; ``link`` changes fields of the bottleneck."""
    link = {"rate": "20mbit", "delay": "10ms", **fields.pop("link", {})}
    topology = {"kind": "dumbbell", "pairs": 2, "bottleneck": link}
    own = fields.pop("topology", {})
    document = {
        "name": "test",
        "topology": own if "kind" in own else {**topology, **own},
        "flows": {"bulk": {"from": "s1", "to": "d1"}},
        "duration": "60s",
        "repeat": 3,
        # Without anything random, repetitions would have a note of their own.
        "start_jitter": "1ms",
    }
    return notes(make_plan(validate({**document, **fields})))


def test_a_plain_experiment_has_none() -> None:
    assert found() == []


def test_short_and_udp_flows_settle_nothing() -> None:
    short = {"from": "s2", "to": "d2", "cc": "bbr", "arrivals": {"per_second": 10}, "amount": "10kB"}
    voice = {"from": "s2", "to": "d2", "protocol": "udp", "rate": "1mbit"}
    assert found(flows={"bulk": {"from": "s1", "to": "d1"}, "web": short, "voice": voice}) == []


def test_flows_that_are_measured_together_need_no_note() -> None:
    assert found(flows=ALIKE, measure={"from": "10s"}, start_jitter="500ms") == []
    late = {"from": "s2", "to": "d2", "start": "30s"}
    assert found(flows={"a": ALIKE["a"], "late": late}, measure={"from": "30s"}) == []
    # Without a window, flows that start late are measured as they have always been.
    assert found(flows={"a": ALIKE["a"], "late": late}) == []
    # Flows of one direction each do not share a link.
    back = {"from": "d2", "to": "s2", "start": "30s"}
    assert found(flows={"a": ALIKE["a"], "late": back}, measure={"from": "10s"}) == []


MIXED = {"a": {"from": "s1", "to": "d1"}, "b": {"from": "s2", "to": "d2", "cc": "bbr"}}
ALIKE = {"a": {"from": "s1", "to": "d1"}, "b": {"from": "s2", "to": "d2"}}
AT_ONCE = {"start_jitter": "0s", "link": {"reverse": {"loss": "0.01%"}}}
SINGLE = {"kind": "single-link", "link": {"rate": "20mbit", "delay": "10ms"}}
WIRE = {"kind": "single-link", "link": {"delay": "10ms"}}
TWO_WAYS = {
    "kind": "custom",
    "nodes": {"s1": "host", "d1": "host", "r1": "router", "r2": "router"},
    "links": {
        "in1": {"from": "s1", "to": "r1"},
        "out1": {"from": "r1", "to": "d1", "rate": "20mbit", "delay": "10ms"},
        "in2": {"from": "s1", "to": "r2"},
        "out2": {"from": "r2", "to": "d1", "rate": "20mbit", "delay": "10ms"},
    },
}
STEPS = [{"at": "1s", "rate": "10mbit", "over": "1s", "every": "50ms"}]

TRAPS: dict[str, tuple[dict[str, Any], str]] = {
    "mixed": ({"flows": MIXED}, "different algorithms may take 130 s or more to reach stable shares"),
    "unequal": (
        {"flows": ALIKE, "topology": {"access": {"delay": ["1ms", "40ms"]}}},
        "flows with different RTTs may take 200 s to reach stable shares",
    ),
    "windows": (
        {"flows": {**ALIKE, "c": {"from": "s1", "to": "d1", "start": "30s"}}, "measure": {"from": "10s"}, **AT_ONCE},
        "flows that share a link are measured at different times, so that their shares of it cannot be compared; all "
        "of them run from 30 s to 60 s",
    ),
    "other windows": (
        {"flows": {**ALIKE, "c": {"from": "s1", "to": "d1", "measure": {"to": "5s"}}}, "measure": {"from": "10s"}},
        "flows that share a link are measured at different times",
    ),
    "together": (
        {"flows": {"many": {"from": "s1", "to": "d1", "count": 9}}, **AT_ONCE},
        "9 flows start at the same moment, and their first 90 packets do not fit into a queue of 33",
    ),
    "short": ({"duration": "1s"}, "traffic lasts less than 100 base RTTs"),
    "buffer": (
        {"socket_buffer": "64KiB"},
        "only half of it is available to the window. This is less than the BDP of 50 kB",
    ),
    "busy": ({"link": {"rate": "400mbit"}}, "may keep the virtual processor 122% busy"),
    "too many pages": (
        {"flows": {"web": {"from": "s1", "to": "d1", "arrivals": {"per_second": 100}, "amount": "30kB"}}},
        "to a path of 20 Mbit/s: its short flows accumulate",
    ),
    "flood": (
        {"flows": {"flood": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "30mbit"}}},
        "flood offers 30 Mbit/s to a path of 20 Mbit/s: the excess is lost",
    ),
    "unlimited": ({"topology": WIRE}, "a flow's path has no rate limit"),
    "own queue": (
        {"topology": SINGLE},
        "s1 sends through its own rate limit: TCP Small Queues (TSQ) keeps the queue there short",
    ),
    "correlated loss": (
        {"link": {"loss": {"model": "random", "probability": "1%", "correlation": "25%"}}},
        "with a correlation, far fewer packets than 1% will be lost",
    ),
    "correlation above a half": (
        {"link": {"loss": {"model": "random", "probability": "75%", "correlation": "50%"}}},
        # (1 - c)·U + c·X is at most 3/4 in 67 of 72 cases, by the distribution's symmetry.
        "with a correlation, more packets than 75% will be lost, about 93%, because",
    ),
    "correlated reordering": (
        {"link": {"reorder": {"probability": "25%", "correlation": "50%"}}},
        # In 5 of 72 cases.
        "with a correlation, far fewer packets than 25% will be reordered, about 6.9%, because",
    ),
    "constant random number": (
        {"link": {"reorder": {"probability": "25%", "correlation": "100%"}}},
        "with a correlation of 100%, either all packets will be reordered or none",
    ),
    "two ways": (
        {"topology": TWO_WAYS},
        "no flow or probe uses s1 ↔ r2, r2 ↔ d1: packets take the path with the fewest hops",
    ),
    "flood after a step": (
        {
            "flows": {"flood": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "15mbit"}},
            "link": {"schedule": [{"at": "10s", "rate": "2mbit"}]},
        },
        "flood offers 15 Mbit/s to a path of 5 Mbit/s on average: the excess is lost",
    ),
    "short after a step": (
        {"duration": "4s", "link": {"schedule": [{"at": "1s", "delay": "100ms"}]}},
        "traffic lasts less than 100 base RTTs",
    ),
    "correlated jitter": (
        {"link": {"jitter": {"spread": "1ms", "correlation": "25%", "keep_order": True}}},
        "the kernel does not correlate jitter",
    ),
    "jitter": (
        {"link": {"jitter": "1ms"}},
        "jitter lets packets overtake each other; to prevent this, set keep_order: true",
    ),
    "wide jitter": (
        {"link": {"jitter": {"spread": "15ms", "keep_order": True}}},
        "jitter of 15 ms is more than the delay of 10 ms",
    ),
    "ecn on a fifo": (
        {"ecn": "on"},
        "ecn is on, but no queue marks packets: the queues of this experiment only drop them",
    ),
    "ecn of codel": (
        {"ecn": "on", "link": {"queue": {"discipline": "codel"}}},
        "ecn is on, but no queue marks packets: codel, pie and red need parameters: {ecn: true}",
    ),
    "dctcp without ecn": (
        {"link": {"queue": {"discipline": "fq_codel"}}, "flows": {"a": {"from": "s1", "to": "d1", "cc": "dctcp"}}},
        "dctcp behaves like reno, because with ecn: off its connections do not use ECN; set ecn: on",
    ),
    "receive buffer": (
        {"hosts": {"d1": {"sysctl": {"net.ipv4.tcp_rmem": "4096 16384 65536"}}}},
        "the largest size in net.ipv4.tcp_rmem of d1 is 64 KiB, and only half of it is available to the window. This "
        "is less than the BDP of 50 kB",
    ),
    "send buffer": (
        {"hosts": {"s*": {"sysctl": {"net.ipv4.tcp_wmem": "4096 16384 65536"}}}},
        "the largest size in net.ipv4.tcp_wmem of s1 is 64 KiB, and only half",
    ),
    "metrics": (
        {"hosts": {"*": {"sysctl": {"net.ipv4.tcp_no_metrics_save": 0}}}},
        "s1 and d1 start connections with what earlier connections found out (ssthresh, RTT)",
    ),
    "ramp": ({"link": {"schedule": STEPS}}, "each change of the rate lets one additional packet pass"),
    "offloads": ({"offloads": True}, "offloads are on: a single packet may have up to 64 KiB"),
    "repetitions": ({"repeat": 2}, "fewer than 3 repetitions"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_named_with_its_reason(name: str) -> None:
    fields, expected = TRAPS[name]
    (note,) = found(**fields)
    assert expected in note


def test_dctcp_where_no_queue_marks() -> None:
    dctcp = {"a": {"from": "s1", "to": "d1", "cc": "dctcp"}}
    assert "dctcp behaves like reno, because no queue marks packets" in found(ecn="on", flows=dctcp)
    assert found(ecn="on", flows=dctcp, link={"queue": {"discipline": "fq_codel"}}) == []
    assert [note for note in found(ecn="passive", flows=dctcp) if "because with ecn: passive its connections" in note]


def test_losses_with_offloads() -> None:
    reason = "netem loses up to 64 KiB at once: losses are fewer and longer than with single packets"
    expected = f"r1 → r2: with offloads, {reason}"
    for fields in ({"offloads": True}, {"hosts": {"s1": {"offloads": True}}}):
        assert expected in found(link={"loss": "1%"}, **fields)
        assert expected not in found(**fields)


def test_what_holds_for_several_is_one_note() -> None:
    star = {"kind": "star", "hosts": 6, "link": {"rate": "20mbit", "delay": "10ms", "jitter": "1ms"}}
    notes_ = found(topology=star, flows={"a": {"from": "h1", "to": "h2"}})
    about = "jitter lets packets overtake each other; to prevent this, set keep_order: true"
    assert [note for note in notes_ if about in note] == [f"h1 → r1, h2 → r1, h3 → r1, h4 → r1 and 2 more: {about}"]
    voices = {f"v{number}": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "30mbit"} for number in (1, 2)}
    assert "v1 and v2 each offer 30 Mbit/s to a path of 20 Mbit/s: the excess is lost" in found(flows=voices)


def test_what_is_meant_is_not_warned_of() -> None:
    assert found(flows=MIXED, duration="130s") == []
    assert found(flows=ALIKE, topology={"access": {"delay": ["1ms", "40ms"]}}, duration="200s") == []
    assert found(ecn="on", link={"queue": {"discipline": "fq_codel"}}) == []
    assert found(ecn="on", link={"queue": {"discipline": "codel", "parameters": {"ecn": True}}}) == []
    assert found(link={"jitter": {"spread": "1ms", "keep_order": True}}) == []
    assert found(link={"loss": {"model": "gemodel", "p": "1%", "r": "20%"}}) == []
    assert found(link={"schedule": [{"at": "10s", "rate": "10mbit"}, {"at": "20s", "rate": "20mbit"}]}) == []
    assert found(link={"reorder": {"probability": "25%", "gap": 5}}) == []
    assert found(link={"schedule": [{"at": "10s", "loss": "100%"}, {"at": "20s", "loss": "0%"}]}) == []
    # A probe that crosses the other way uses it.
    probe = {"from": "r2", "to": "d1"}
    nodes = {"s1": "host", "d1": "host", "r1": "router", "r2": "host"}
    assert found(topology={**TWO_WAYS, "nodes": nodes}, probes={"p": probe}) == [
        "no flow or probe uses s1 ↔ r2: packets take the path with the fewest hops, and of several such paths the one "
        "whose links are declared first"
    ]
