# SPDX-License-Identifier: Apache-2.0
"""Checks of the flows: did each run as asked, and did congestion control set its rate?"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from lab.analysis import iperf
from lab.analysis.checks import agreement
from lab.analysis.checks.agreement import Agreement
from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded, worst
from lab.analysis.measured import MeasuredFlow, MeasuredTrial

MIN_ROUND_TRIPS = 100


def flow_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of traffic and sockets."""
    return [
        congestion_control(trial),
        iperf_finished(trial),
        short_flows(trial),
        iperf_intervals(trial),
        flow_duration(trial),
        long_enough(trial),
        receive_window(trial),
        send_buffer(trial),
        instruments(trial),
    ]


def congestion_control(trial: MeasuredTrial) -> Check:
    """Pitfall 11."""
    findings = []
    for flow in trial.flows:
        asked, found = flow.asked["congestion_control"], flow.result["congestion_control"]
        findings.append(Finding("ok" if asked == found else "invalid", asked, found or "nothing read back"))
    return combine(
        "congestion-control",
        "Congestion control of the socket",
        findings,
        threshold="invalid: another algorithm than asked",
        meaning="The algorithm is read back from the socket in the kernel; with another one, the comparison is void.",
    )


def iperf_finished(trial: MeasuredTrial) -> Check:
    """Pitfall 9."""
    findings = []
    for flow in trial.iperf_flows:
        status, failure = flow.result["exit_status"], iperf.error(flow.client) or iperf.error(flow.server)
        if status or failure:
            findings.append(Finding("invalid", "exit status 0", f"{flow.name}: {status}, {failure or 'no message'}"))
        elif flow.received.bytes == 0:
            findings.append(Finding("invalid", "data received", f"{flow.name}: nothing arrived"))
        else:
            findings.append(Finding("ok", "exit status 0", "0"))
    return combine(
        "iperf3-finished",
        "iperf3 finished",
        findings,
        threshold="invalid: an exit status other than 0, an error, or no data",
        meaning="A flow that ended early or never started has no goodput to compare.",
    )


def short_flows(trial: MeasuredTrial) -> Check:
    """Completion times mean something only where flows do complete: those that do not would be the longest."""
    findings = []
    for flow in trial.flows:
        if flow.completions is None:
            continue
        number, done = len(flow.completions), int(flow.completions.is_complete.sum())
        unfinished = 1 - done / number if number else 1.0
        who = f"{flow.name}: " if done < number else ""
        findings.append(Finding(graded(unfinished, 0, 0.05), "all complete", f"{who}{done} of {number} complete"))
    return combine(
        "short-flows",
        "Short flows completed",
        findings,
        threshold="warn: any that did not; invalid: more than 5 %",
        meaning="A flow that was still under way at the end has no completion time: the longest ones are left out.",
    )


def iperf_intervals(trial: MeasuredTrial) -> Check:
    """Pitfall 9: no interval is missing."""
    findings = []
    for flow in trial.iperf_flows:
        seconds, length = flow.asked["duration_ns"] / 1e9, iperf.asked_interval_seconds(flow.client)
        reported = iperf.intervals(flow.client)
        if length is None or not reported:
            findings.append(Finding("invalid", "one or more", f"{flow.name}: none"))
            continue
        expected = max(1, int(min(seconds, flow.sent.seconds) / length))
        gap = max((b.start_s - a.end_s for a, b in itertools.pairwise(reported)), default=0.0)
        complete = len(reported) >= expected and gap < 0.1 * length
        found = f"{len(reported)} of {length:g} s"
        findings.append(
            Finding(
                "ok" if complete else "invalid",
                f"{expected} of {length:g} s",
                found if complete else f"{flow.name}: {found}",
            )
        )
    return combine(
        "iperf3-intervals",
        "iperf3's intervals are complete",
        findings,
        threshold="invalid: fewer than asked, or a gap of a tenth of an interval",
        meaning="Missing intervals show a client that stalled or was cut off.",
    )


def flow_duration(trial: MeasuredTrial) -> Check:
    """Both ends took the time that was asked for.

    iperf3 reads ``--time`` as a whole number and drops a fraction without a word.
    """
    findings = []
    for flow in trial.iperf_flows:
        if flow.asked["limit_bytes"] is not None:
            findings.append(_amount(flow, flow.asked["limit_bytes"]))
            continue
        asked = flow.asked["duration_ns"] / 1e9
        sender, receiver = flow.sent.seconds, flow.received.seconds
        off = abs(sender - asked) / asked
        # The receiver stops when it hears of the end, about a (queued) round trip after it.
        drained = receiver - sender > max(0.05 * asked, 0.5)
        verdict: Verdict = worst([graded(off, 0.02, 0.10), "warn" if drained else "ok"])
        who = f"{flow.name}: " if verdict != "ok" else ""
        findings.append(Finding(verdict, f"{asked:g} s", f"{who}{sender:.3f} s sending, {receiver:.3f} s receiving"))
    return combine(
        "flow-duration",
        "Duration of the flows",
        findings,
        threshold="warn: sending time off by 2 %, or receiving 5 % and 0.5 s longer than sending; invalid: off by 10 %",
        meaning="Goodput is bytes over the receiver's own time; a flow cut short or drawn out is not comparable.",
    )


def _amount(flow: MeasuredFlow, limit_bytes: int) -> Finding:
    """iperf3 writes whole blocks, the last of which may go beyond."""
    done = flow.received.bytes
    verdict: Verdict = "ok" if limit_bytes <= done <= limit_bytes + 2 * iperf.block_bytes(flow.client) else "invalid"
    return Finding(verdict, f"{limit_bytes} B", f"{done} B" if verdict == "ok" else f"{flow.name}: {done} B")


def long_enough(trial: MeasuredTrial) -> Check:
    """Are there enough round trips to speak of more than slow start?"""
    findings = []
    for flow in trial.bulk_flows:
        base = flow.base_rtt_us
        trips = flow.asked["duration_ns"] / 1000 / base if base else float("inf")
        shown = f"{trips:.0f} round trips" if trips != float("inf") else "no delay declared"
        findings.append(Finding("ok" if trips >= MIN_ROUND_TRIPS else "warn", f"{MIN_ROUND_TRIPS} or more", shown))
    return combine(
        "long-enough",
        "Length in round trips",
        findings,
        threshold=f"warn: fewer than {MIN_ROUND_TRIPS} base round trips",
        meaning="In a short flow slow start weighs much, and algorithms have not reached their steady state.",
    )


def receive_window(trial: MeasuredTrial) -> Check:
    """Pitfall 10, the receiver's side."""
    return _limited(
        trial,
        "rwnd_limited",
        "receive-window",
        "Not limited by the receive window",
        "Part of the time the receiver's window, not congestion control, set the rate; it also misleads BBR.",
    )


def send_buffer(trial: MeasuredTrial) -> Check:
    """Pitfall 10, the sender's side."""
    return _limited(
        trial,
        "sndbuf_limited",
        "send-buffer",
        "Not limited by the send buffer",
        "Part of the time the send buffer, not congestion control, set the rate.",
    )


def _limited(trial: MeasuredTrial, field: str, id: str, title: str, meaning: str) -> Check:
    findings = []
    for flow in trial.bulk_flows:
        info = flow.result["tcp_info"]
        busy, limited = info.get("busy_time"), info.get(field)
        if not busy or limited is None:
            findings.append(Finding("warn", "0 %", f"{flow.name}: not read back"))
            continue
        share = limited / busy
        findings.append(Finding(graded(share, 0.01, 0.10), "0 % of the busy time", f"{share:.1%} ({flow.name})"))
    return combine(id, title, findings, threshold="warn: above 1 %; invalid: above 10 %", meaning=meaning)


def instruments(trial: MeasuredTrial) -> Check:
    """Pitfalls 9 and 12: the samples, iperf3 and tcp_info tell the same story."""
    findings = [finding for flow in trial.bulk_flows for finding in _instruments_of(trial, flow)]
    return combine(
        "instruments-agree",
        "Trace, iperf3 and tcp_info agree",
        findings,
        threshold="delivered bytes: warn above 1 % + one window, invalid above four times that; "
        "retransmissions: warn above 5 % + 10; smoothed RTT: warn above 10 % + 1 ms",
        meaning="Independent instruments that disagree mean that one of them misses or mixes up events.",
    )


def _instruments_of(trial: MeasuredTrial, flow: MeasuredFlow) -> list[Finding]:
    if flow.samples is not None and len(flow.samples) < 2:
        return [Finding("invalid", "rows of every flow", f"{flow.name}: {len(flow.samples)} rows in the trace")]
    # A trace of changes of the window ends with the last one, and not with the flow.
    is_whole = trial.job["collectors"].get("tcp_probe", {}).get("record") != "cwnd_change"
    readings: list[tuple[Agreement | None, Callable[[Agreement], Verdict]]] = [
        (
            agreement.delivered_bytes(flow, trial.mss) if is_whole else None,
            lambda reading: graded(reading.excess, 1, 4),
        ),
        # Of a flow with an amount, tcp_info is some time older than its end.
        (
            None if flow.asked["limit_bytes"] else agreement.retransmissions(flow),
            lambda reading: "ok" if reading.agrees else "warn",
        ),
        (agreement.smoothed_rtt(flow), lambda reading: "ok" if reading.agrees else "warn"),
    ]
    done = [(reading, judge(reading)) for reading, judge in readings if reading is not None]
    if not done:
        return []
    verdict = worst(verdict for _, verdict in done)
    return [
        Finding(
            verdict,
            f"equal within ±{reading.tolerance:.6g}",
            f"{reading.quantity}: {reading.first:.6g} and {reading.second:.6g} ({flow.name})",
        )
        for reading, found in done
        if found == verdict
    ]
