# SPDX-License-Identifier: Apache-2.0
"""Checks of the paths: whether their delay and rate were measured to be what the experiment asks for."""

from __future__ import annotations

from lab.analysis import iperf
from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.path import IP_HEADER_BYTES, UDP_HEADER_BYTES
from lab.job.network import Hop, mean_rate_bps
from lab.job.protocol import ETHERNET_HEADER_BYTES


def path_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of the paths."""
    return [base_rtt(trial), calibrated_rate(trial), achieved_rate(trial)]


def base_rtt(trial: MeasuredTrial) -> Check:
    """Check that the path has the declared round-trip time before the traffic starts.

    Otherwise the emulator itself adds delay.  See pitfall 14 in docs/explanation/pitfalls.md.
    """
    findings = []
    for flow in trial.flows:
        declared = flow.path.rtt_ns / 1e6
        asked = f"{declared:g} ms"
        if flow.calibration is None or not flow.calibration["rtt_ns"]:
            findings.append(Finding("warn", asked, f"{flow.name}: not measured"))
            continue
        measured = min(flow.calibration["rtt_ns"]) / 1e6
        off = abs(measured - declared)
        lost = flow.calibration["sent"] - len(flow.calibration["rtt_ns"])
        verdict: Verdict = (
            "ok" if off <= 0.01 * declared + 0.2 + _ping_milliseconds(flow) + _variation_ms(flow) else "invalid"
        )
        found = f"{measured:.3f} ms"
        if lost and not flow.path.round_trip_loss:
            verdict, found = "invalid", f"{found}, {lost} of {flow.calibration['sent']} echoes lost"
        findings.append(Finding(verdict, asked, f"{flow.name}: {found}" if verdict != "ok" else found))
    return combine(
        "base-rtt",
        "Round-trip time before the traffic",
        findings,
        threshold="invalid: off by more than 1 % + 0.2 ms + the time to send the echo packets + what jitter and "
        "reordering explain, or an echo lost on a path without loss; warn: not measured",
        meaning="If the path without traffic does not have the declared RTT, every delay and every bandwidth-delay "
        "product is wrong.",
    )


def _variation_ms(flow: MeasuredFlow) -> float:
    """Return by how many milliseconds jitter and reordering may shift the smallest of a few round-trip times."""
    netems = [hop.direction["netem"] for hop in flow.path.forward + flow.path.backward if hop.direction["netem"]]
    jitter = sum(4 * netem["jitter"]["spread_ns"] for netem in netems if netem["jitter"])
    # Packets that netem sends ahead of others are not delayed at all.
    return (jitter + sum(netem["delay_ns"] for netem in netems if netem["reorder"])) / 1e6


def _ping_milliseconds(flow: MeasuredFlow) -> float:
    """Return the time to send an echo request and its answer, of 98 bytes each, at the declared rates."""
    hops = flow.path.forward + flow.path.backward
    return sum(98 * 8e3 / hop.direction["rate_bps"] for hop in hops if hop.direction["rate_bps"])


def calibrated_rate(trial: MeasuredTrial) -> Check:
    """Check that the bottleneck runs at its declared rate when it is kept busy before the traffic.

    A rate limiter may lose rate, and the emulator itself may be too slow.  See pitfalls 5 and 14 in
    docs/explanation/pitfalls.md.
    """
    findings = []
    for flow in trial.flows:
        rate = flow.path.rate_bps
        if flow.path.bottleneck and flow.path.bottleneck.direction["capacity"]:
            continue  # a link that follows a capacity file has no constant rate
        measured = flow.calibration["rate_bps"] if flow.calibration else None
        if rate is None or measured is None:
            continue
        off = abs(measured / rate - 1)
        findings.append(
            Finding(
                graded(off, 0.01, 0.05),
                f"{rate / 1e6:g} Mbit/s",
                f"{measured / 1e6:.3f} Mbit/s ({flow.asked['source']} to {flow.asked['destination']})",
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
    whole = sum(transfer.bytes * factor for transfer, factor in zip(transfers, framing, strict=True))
    together = whole * 8 / span if span > 0 else 0.0
    one_by_one = [transfer.bps * factor for transfer, factor in zip(transfers, framing, strict=True)]
    single = [] if hop.direction["changes"] else one_by_one
    # If the rate changes, only its mean over the whole time can be compared with what the flows sent together.
    rate = mean_rate_bps(hop.direction, round(min(starts) * 1e9), round(max(ends) * 1e9)) or 0
    wire = max([together, *single])
    found = f"{wire / 1e6:.2f} Mbit/s over {hop.link}, headers included"
    if hop.direction["capacity"]:
        # The rate of a capacity file is a mean over whole periods, so it is no limit for any other time.
        return Finding("ok", "as the capacity file allows", found)
    verdict: Verdict = "invalid" if wire > 1.01 * rate else "ok"
    return Finding(verdict, f"at most {rate / 1e6:g} Mbit/s", found)


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
