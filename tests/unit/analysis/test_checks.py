# SPDX-License-Identifier: Apache-2.0
"""Every check, with faults planted in a captured trial: each is found by the check that is for it, and by no other."""

from __future__ import annotations

from typing import Any

import pytest

from lab.analysis.checks.judge import judge, verdict
from lab.analysis.measured import MeasuredTrial
from tests.unit.analysis.planting import Parts, Plant, Replayed, complaints, trial_of


@pytest.fixture(scope="module")
def trial(replayed: Replayed) -> MeasuredTrial:
    """A CUBIC flow over a bottleneck with 1 % loss; its own verdict is ok, of every check."""
    found = trial_of(replayed, "everything", "cubic-r1")
    assert verdict(judge(found)) == "ok", [check for check in judge(found) if check.verdict != "ok"]
    return found


def test_every_check_says_what_it_looked_at(trial: MeasuredTrial) -> None:
    checks = judge(trial)
    assert len({check.id for check in checks}) == len(checks) >= 24
    for check in checks:
        assert all((check.title, check.asked, check.found, check.threshold, check.meaning)), check.id


# --- the network ---------------------------------------------------------------------------------------------


def offloads_on(parts: Parts) -> None:
    parts.port("r1", "egress")["offloads"]["gso"] = True


def offloads_unknown(parts: Parts) -> None:
    parts.port("r1", "egress")["offloads"] = {}


def other_mtu(parts: Parts) -> None:
    parts.port("r2", "egress")["mtu"] = 9000


def no_tbf(parts: Parts) -> None:
    port = parts.port("r1", "egress")
    port["qdiscs_after"] = [one for one in port["qdiscs_after"] if one["kind"] != "tbf"]


def other_rate(parts: Parts) -> None:
    parts.qdisc("r1", "egress", "tbf")["options"]["rate"] = 501_000


def other_limit(parts: Parts) -> None:
    parts.qdisc("r1", "egress", "bfifo")["options"]["limit"] += 1


def large_burst(parts: Parts) -> None:
    # A packet and 0.2 ms at 4 Mbit/s are 1614 bytes, a packet and 2 ms 2514.
    parts.qdisc("r1", "egress", "tbf")["options"]["burst"] = 1615


def huge_burst(parts: Parts) -> None:
    parts.qdisc("r1", "egress", "tbf")["options"]["burst"] = 2515


def tbf_where_none_was_asked(parts: Parts) -> None:
    port = parts.port("s1", "egress", "access-s1")
    port["qdiscs_after"].append({"kind": "tbf", "options": {"rate": 1}})


def other_delay(parts: Parts) -> None:
    parts.qdisc("r2", "ingress", "netem")["options"]["delay"]["delay"] += 1.1e-6


def other_loss(parts: Parts) -> None:
    parts.qdisc("r2", "ingress", "netem")["options"]["loss-random"]["loss"] *= 1.002


def other_seed(parts: Parts) -> None:
    parts.qdisc("r2", "ingress", "netem")["options"]["seed"] += 1


def jitter_unasked(parts: Parts) -> None:
    parts.qdisc("r2", "ingress", "netem")["options"]["delay"]["jitter"] = 0.001


def no_netem(parts: Parts) -> None:
    port = parts.port("r1", "ingress")
    port["qdiscs_after"] = [one for one in port["qdiscs_after"] if one["kind"] != "netem"]


def no_ingress(parts: Parts) -> None:
    parts.record["interfaces"].remove(parts.port("r1", "ingress"))


def netem_unasked(parts: Parts) -> None:
    link = next(link for link in parts.job["links"] if link["name"] == "bottleneck")
    link["ba"]["netem"] = None
    # Half of the delay is gone, and so is half of the round trip that was measured.
    for path in parts.record["calibration"]:
        path["min_rtt_ns"] = 10_000_000
    parts.info()["min_rtt"] = 10_000


def short_delay_line(parts: Parts) -> None:
    # 4 Mbit/s for 10 ms are 5000 bytes: four packets.
    link = next(link for link in parts.job["links"] if link["name"] == "bottleneck")
    for end, way in (("r2", "ab"), ("r1", "ba")):
        link[way]["netem"]["limit_packets"] = 4
        parts.qdisc(end, "ingress", "netem")["options"]["limit"] = 4


def too_many_random_drops(parts: Parts) -> None:
    parts.qdisc("r2", "ingress", "netem")["drops"] += 40


def drops_without_loss(parts: Parts) -> None:
    parts.qdisc("r1", "ingress", "netem")["drops"] += 1


def correlated_loss(parts: Parts) -> None:
    parts.bottleneck()["netem"]["loss"]["values"].append(0.25)
    parts.qdisc("r2", "ingress", "netem")["options"]["loss-random"]["correlation"] = 0.25


def netem_at_the_sender(parts: Parts) -> None:
    parts.port("s1", "egress", "access-s1")["qdiscs_before"].append({"kind": "netem"})


def fq_at_the_sender(parts: Parts) -> None:
    parts.port("s1", "egress", "access-s1")["qdiscs_after"] = [{"kind": "fq", "root": True}]


def fq_that_was_asked_for(parts: Parts) -> None:
    fq_at_the_sender(parts)
    node = next(node for node in parts.job["nodes"] if node["name"] == "s1")
    queue: dict[str, Any] = {"discipline": "fq", "limit_bytes": None, "limit_packets": None, "parameters": {}}
    node["settings"] = {"sysctls": {}, "initial_window": None, "queue": queue, "offloads": None}


def another_than_asked_for(parts: Parts) -> None:
    fq_that_was_asked_for(parts)
    parts.port("s1", "egress", "access-s1")["qdiscs_after"][0]["kind"] = "codel"


def offloads_of_one_node(parts: Parts) -> None:
    another_than_asked_for(parts)
    fq_at_the_sender(parts)
    parts.port("s1", "egress", "access-s1")["offloads"]["tso"] = True
    next(node for node in parts.job["nodes"] if node["name"] == "s1")["settings"]["offloads"] = True


def longer_path(parts: Parts) -> None:
    # 1 % of 20 ms, 0.2 ms, and twice 98 bytes at 4 Mbit/s: 0.792 ms are allowed.
    parts.record["calibration"][0]["min_rtt_ns"] = 20_793_000
    parts.job["flows"][0]["duration_ns"] = 2_080_000_000  # still a hundred of these
    parts.client["end"]["sum_sent"]["seconds"] = 2.08


def echoes_lost(parts: Parts) -> None:
    parts.record["calibration"][0]["sent"] += 1
    parts.bottleneck()["netem"]["loss"] = None
    parts.qdisc("r2", "ingress", "netem")["options"].pop("loss-random")
    parts.qdisc("r2", "ingress", "netem")["drops"] = 0


def no_calibration(parts: Parts) -> None:
    parts.record["calibration"] = []


def slow_before(parts: Parts) -> None:
    parts.record["calibration"][0]["rate_bps"] = 3_950_000


def very_slow_before(parts: Parts) -> None:
    parts.record["calibration"][0]["rate_bps"] = 3_790_000


def faster_than_the_link(parts: Parts) -> None:
    arrived = parts.flow()["accounts"]["sides"]["arrived"]["declared"]
    arrived["bytes"] = int(arrived["bytes"] * 1.08)
    parts.server["end"]["sum_received"]["bytes"] = arrived["bytes"]


# --- the flows -----------------------------------------------------------------------------------------------


def other_algorithm(parts: Parts) -> None:
    parts.flow()["congestion_control"] = "reno"


def error_at_the_client(parts: Parts) -> None:
    parts.client["error"] = "unable to receive results"


def error_at_the_server(parts: Parts) -> None:
    parts.server["error"] = "the client has terminated"


def began_late(parts: Parts) -> None:
    parts.flow()["accounts"]["sides"]["sent"]["all"]["first_ns"] = 45_000_000


def began_much_too_late(parts: Parts) -> None:
    parts.flow()["accounts"]["sides"]["sent"]["all"]["first_ns"] = 250_000_000


def was_cut_short(parts: Parts) -> None:
    parts.job["flows"][0]["duration_ns"] = 2_300_000_000


def never_began(parts: Parts) -> None:
    parts.flow()["accounts"]["sides"]["sent"]["all"] |= {"first_ns": None, "last_ns": None}


def few_round_trips(parts: Parts) -> None:
    parts.record["calibration"][0]["min_rtt_ns"] = 20_150_000


def receiver_limits(parts: Parts) -> None:
    parts.info()["rwnd_limited"] = int(parts.info()["busy_time"] * 0.011)


def receiver_limits_much(parts: Parts) -> None:
    parts.info()["rwnd_limited"] = int(parts.info()["busy_time"] * 0.11)


def buffer_limits(parts: Parts) -> None:
    parts.info()["sndbuf_limited"] = int(parts.info()["busy_time"] * 0.011)


def buffer_limits_much(parts: Parts) -> None:
    parts.info()["sndbuf_limited"] = int(parts.info()["busy_time"] * 0.11)


def no_limits_read(parts: Parts) -> None:
    del parts.info()["rwnd_limited"]


def other_retransmissions(parts: Parts) -> None:
    parts.info()["total_retrans"] += 12


def other_rtt(parts: Parts) -> None:
    for interval in parts.client["intervals"]:
        interval["streams"][0]["rtt"] *= 1.3


# --- the machine ---------------------------------------------------------------------------------------------


def busy(parts: Parts) -> None:
    parts.record["cpu"]["busy_ns"] = int(parts.record["cpu"]["total_ns"] * 0.71)


def very_busy(parts: Parts) -> None:
    parts.record["cpu"]["busy_ns"] = int(parts.record["cpu"]["total_ns"] * 0.91)


def not_measured(parts: Parts) -> None:
    parts.record["cpu"]["total_ns"] = 0


def few_events_lost(parts: Parts) -> None:
    parts.record["collectors"]["queue"]["lost"] = 1


def many_events_lost(parts: Parts) -> None:
    parts.record["collectors"]["queue"]["lost"] = 100


def samples_of_a_histogram_lost(parts: Parts) -> None:
    parts.record["collectors"]["drops_latency"]["lost"] = 100_000


def sysctl(name: str, value: str | None) -> Plant:
    def plant(parts: Parts) -> None:
        for key in [key for key in parts.record["sysctls"] if key.endswith(name)]:
            del parts.record["sysctls"][key]
        if value is not None:
            parts.record["sysctls"][f"net.ipv4.{name}"] = value

    plant.__name__ = f"{name}_{value}"
    return plant


def counted(name: str) -> Plant:
    def plant(parts: Parts) -> None:
        next(iter(parts.record["counters"].values()))[name] = 3

    plant.__name__ = name
    return plant


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (offloads_on, {"offloads": "invalid"}),
        (offloads_unknown, {"offloads": "warn"}),
        (offloads_of_one_node, {}),
        (other_mtu, {"mtu": "invalid"}),
        (no_tbf, {"rate-and-queue": "invalid"}),
        (other_rate, {"rate-and-queue": "invalid"}),
        (other_limit, {"rate-and-queue": "invalid"}),
        (large_burst, {"rate-and-queue": "warn"}),
        (huge_burst, {"rate-and-queue": "invalid"}),
        (tbf_where_none_was_asked, {"rate-and-queue": "invalid"}),
        (other_delay, {"delay-and-loss": "invalid"}),
        (other_loss, {"delay-and-loss": "invalid"}),
        (other_seed, {"delay-and-loss": "invalid"}),
        (jitter_unasked, {"delay-and-loss": "invalid"}),
        (no_netem, {"delay-and-loss": "invalid"}),
        (no_ingress, {"delay-and-loss": "invalid"}),
        (netem_unasked, {"delay-and-loss": "invalid"}),
        (short_delay_line, {"netem-limit": "invalid"}),
        (too_many_random_drops, {"netem-drops": "invalid"}),
        (drops_without_loss, {"netem-drops": "invalid"}),
        (correlated_loss, {"netem-drops": "warn"}),
        (netem_at_the_sender, {"sender-netem": "invalid"}),
        (fq_at_the_sender, {"sender-qdisc": "warn"}),
        (fq_that_was_asked_for, {}),
        (another_than_asked_for, {"sender-qdisc": "invalid"}),
        (longer_path, {"base-rtt": "invalid"}),
        (echoes_lost, {"base-rtt": "invalid"}),
        (no_calibration, {"base-rtt": "warn"}),
        (slow_before, {"calibrated-rate": "warn"}),
        (very_slow_before, {"calibrated-rate": "invalid"}),
        (faster_than_the_link, {"achieved-rate": "invalid"}),
        (other_algorithm, {"congestion-control": "invalid"}),
        (error_at_the_client, {"iperf3-finished": "invalid"}),
        (error_at_the_server, {"iperf3-finished": "invalid"}),
        (began_late, {"flow-duration": "warn"}),
        (began_much_too_late, {"flow-duration": "invalid"}),
        (was_cut_short, {"flow-duration": "warn"}),
        (never_began, {"flow-duration": "invalid"}),
        (few_round_trips, {"long-enough": "warn"}),
        (receiver_limits, {"receive-window": "warn"}),
        (receiver_limits_much, {"receive-window": "invalid"}),
        (buffer_limits, {"send-buffer": "warn"}),
        (buffer_limits_much, {"send-buffer": "invalid"}),
        (no_limits_read, {"receive-window": "warn"}),
        (other_retransmissions, {"instruments-agree": "warn"}),
        (other_rtt, {"instruments-agree": "warn"}),
        (busy, {"cpu": "warn"}),
        (very_busy, {"cpu": "invalid"}),
        (not_measured, {"cpu": "warn"}),
        (few_events_lost, {"lost-events": "warn"}),
        (many_events_lost, {"lost-events": "invalid"}),
        (samples_of_a_histogram_lost, {}),
        (sysctl("tcp_no_metrics_save", "0"), {"metrics-cache": "invalid"}),
        (sysctl("tcp_no_metrics_save", None), {"metrics-cache": "warn"}),
        (sysctl("tcp_ecn", "2"), {"ecn": "invalid"}),
        (sysctl("tcp_ecn", None), {"ecn": "warn"}),
        # 10 000 bytes of path and 12 112 of queue.
        (sysctl("tcp_rmem", "4096 131072 44223"), {"socket-buffers": "warn"}),
        (sysctl("tcp_wmem", "4096\t16384\t22111"), {"socket-buffers": "invalid"}),
        (sysctl("tcp_wmem", None), {"socket-buffers": "warn"}),
        (counted("TcpExtTCPMemoryPressures"), {"socket-memory": "invalid"}),
        (counted("UdpMemErrors"), {"socket-memory": "invalid"}),
        (counted("TcpExtPruneCalled"), {"socket-memory": "warn"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_found_by_the_check_that_is_for_it(
    trial: MeasuredTrial, plant: Plant, expected: dict[str, str]
) -> None:
    assert complaints(trial, plant) == expected
