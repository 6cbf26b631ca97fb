# SPDX-License-Identifier: Apache-2.0
"""Checks of the paths: whether their delay and rate were measured to be what the experiment asks for."""

from __future__ import annotations

import math

from lab.analysis import iperf
from lab.analysis.base_rtt import expected_echo, varies
from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.path import IP_HEADER_BYTES, UDP_HEADER_BYTES
from lab.job.network import Hop
from lab.job.over_time import CAPACITY_BIN_NS, capacity_over_time, delay_ns, delay_over_time, mean
from lab.job.protocol import ETHERNET_HEADER_BYTES
from lab.units import format_rate


def path_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of the paths."""
    return [base_rtt(trial), calibrated_rate(trial), achieved_rate(trial)]


def base_rtt(trial: MeasuredTrial) -> Check:
    """Check that the path has the declared round-trip time before the traffic starts.

    Otherwise the emulator itself adds delay.  See pitfall 14 in docs/explanation/pitfalls.md.
    """
    findings = []
    for flow in trial.flows:
        expected = expected_echo(flow.path)
        declared = sum(delay_ns(hop.direction["netem"]) for hop in flow.path.hops) / 1e6
        least, most = expected.least_ns / 1e6, expected.most_ns / 1e6
        asked = f"{least:.4g} to {most:.4g} ms" if varies(flow.path) else f"{declared:g} ms"
        if flow.calibration is None or flow.calibration["min_rtt_ns"] is None:
            findings.append(Finding("warn", asked, f"{flow.name}: not measured"))
            continue
        measured = flow.calibration["min_rtt_ns"] / 1e6
        tolerance = 0.01 * declared + 0.2
        verdict: Verdict = "ok" if least - tolerance <= measured <= most + tolerance else "invalid"
        found = f"{measured:.3f} ms"
        lost = flow.calibration["sent"] - flow.calibration["answered"]
        # ping waits no longer than two round trips for what is missing, and the next answer may take longer than that.
        if lost and not flow.path.round_trip_loss and not varies(flow.path):
            verdict, found = "invalid", f"{found}, {lost} of {flow.calibration['sent']} echoes lost"
        findings.append(Finding(verdict, asked, f"{flow.name}: {found}" if verdict != "ok" else found))
    return combine(
        "base-rtt",
        "Round-trip time before the traffic",
        findings,
        threshold="invalid: off by more than 1 % + 0.2 ms + the time to send the echo packets + what jitter, "
        "reordering and the waiting for a capacity file's opportunities explain, or an echo lost on a path without "
        "any of them and without loss; warn: not measured",
        meaning="If the path without traffic does not have the declared RTT, every delay and every bandwidth-delay "
        "product is wrong.",
    )


def calibrated_rate(trial: MeasuredTrial) -> Check:
    """Check that the bottleneck runs at its declared rate when it is kept busy before the traffic.

    A rate limiter may lose rate, and the emulator itself may be too slow.  See pitfalls 5 and 14 in
    docs/explanation/pitfalls.md.
    """
    findings = []
    for flow in trial.flows:
        hop = flow.path.calibrated
        if hop is None or hop.direction["capacity"]:
            continue  # a link that follows a capacity file has no constant rate
        rate = hop.direction["rate_bps"]
        measured = flow.calibration["rate_bps"] if flow.calibration else None
        if rate is None or measured is None:
            continue
        off = abs(measured / rate - 1)
        findings.append(
            Finding(
                graded(off, 0.01, 0.05),
                format_rate(rate),
                f"{format_rate(measured, 5)} ({flow.asked['source']} to {flow.asked['destination']})",
            )
        )
    return combine(
        "calibrated-rate",
        "Bottleneck rate before the traffic",
        findings,
        threshold="warn: off by more than 1 %; invalid: off by more than 5 %",
        meaning="If a busy bottleneck does not run at its declared rate, shares of the link's rate mean nothing.",
    )


def achieved_rate(trial: MeasuredTrial) -> Check:
    """Check that no traffic was faster than the links on its path.

    A large burst lets a flow exceed the rate.  See pitfall 5 in docs/explanation/pitfalls.md.
    """
    per_hop: dict[tuple[str, str], tuple[Hop, list[MeasuredFlow]]] = {}
    for flow in trial.flows:
        for hop in flow.path.forward:
            if hop.direction["rate_bps"]:
                per_hop.setdefault((hop.link, hop.direction_name), (hop, []))[1].append(flow)
    findings = [_hop_load(trial, hop, flows) for hop, flows in per_hop.values()]
    return combine(
        "achieved-rate",
        "No traffic faster than its link",
        findings,
        threshold="invalid: more than 1 % above the link's rate",
        meaning="Traffic that exceeds the link's rate shows that the rate limit or a clock was wrong.",
    )


def _hop_load(trial: MeasuredTrial, hop: Hop, flows: list[MeasuredFlow]) -> Finding:
    """Compare the rate limit of a hop with the rate that it must at least have carried."""
    transfers = [flow.received() for flow in flows]
    starts = [_first_arrival_s(flow) for flow in flows]
    ends = [start + transfer.seconds for start, transfer in zip(starts, transfers, strict=True)]
    span = max(ends) - min(starts)
    framing = [_framing(trial, flow) for flow in flows]
    whole = math.fsum(transfer.bytes * factor for transfer, factor in zip(transfers, framing, strict=True))
    together = whole * 8 / span if span > 0 else 0.0
    one_by_one = [transfer.bps * factor for transfer, factor in zip(transfers, framing, strict=True)]
    is_constant = not hop.direction["changes"] and hop.direction["capacity"] is None
    wire = max([together, *one_by_one]) if is_constant else together
    after_ns = [_transit_after_ns(flow, hop) for flow in flows]
    left_ns = round(min(starts) * 1e9) - max(after_ns), round(max(ends) * 1e9) - min(after_ns)
    rate = _most_bps(hop, flows[0].path.end_ns, *left_ns)
    found = f"{format_rate(wire, 4)} over {hop.link}, headers included"
    verdict: Verdict = "invalid" if wire > 1.01 * rate else "ok"
    return Finding(verdict, f"at most {format_rate(rate, 4)}", found)


def _most_bps(hop: Hop, traffic_end_ns: int, start_ns: int, end_ns: int) -> float:
    """Return the highest mean rate in bit/s at which packets can have left *hop* between two times."""
    rates = capacity_over_time(hop.direction, traffic_end_ns)
    if rates is None:
        return float("inf")
    if end_ns <= start_ns:
        return rates.at(start_ns)
    if hop.direction["capacity"] is None:
        # If the rate changes, only its mean can be compared with what the flows sent together.
        return mean(rates, start_ns, end_ns)
    # The rate of a capacity file is known for whole bins, and the bins at both ends may have been used in part.
    longer_ns = end_ns - start_ns + 2 * CAPACITY_BIN_NS
    return mean(rates, start_ns - CAPACITY_BIN_NS, end_ns + CAPACITY_BIN_NS) * longer_ns / (end_ns - start_ns)


def _transit_after_ns(flow: MeasuredFlow, hop: Hop) -> int:
    """Return how long data of the flow take from the end of *hop*'s queue to the receiver, at the start of traffic."""
    return delay_over_time(flow.path.forward[flow.path.forward.index(hop) :]).at(0)


def _first_arrival_s(flow: MeasuredFlow) -> float:
    """Return when data of the flow first arrived, in seconds since the start of traffic."""
    first_ns = flow.result["accounts"]["sides"]["arrived"]["declared"]["first_ns"]
    return (flow.start_ns if first_ns is None else first_ns) / 1e9


def _framing(trial: MeasuredTrial, flow: MeasuredFlow) -> float:
    """Return how many bytes of Ethernet frames at least are needed to carry one byte of payload."""
    if flow.asked["protocol"] == "udp":
        payload = iperf.block_bytes(flow.client)
        return 1 + (UDP_HEADER_BYTES + IP_HEADER_BYTES[trial.job["ip"]] + ETHERNET_HEADER_BYTES) / payload
    return (trial.job["mtu"] + ETHERNET_HEADER_BYTES) / trial.mss
