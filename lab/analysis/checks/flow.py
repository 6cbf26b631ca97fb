# SPDX-License-Identifier: Apache-2.0
"""Checks of the flows: whether each ran as the experiment asks, and whether congestion control set its rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from lab.analysis import iperf
from lab.analysis.checks import agreement
from lab.analysis.checks.agreement import Agreement
from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded, worst
from lab.analysis.checks.memory import ran_short_of_memory
from lab.analysis.measured import MeasuredFlow, MeasuredTrial

MIN_ROUND_TRIPS = 100
"""A flow that lasts for fewer base RTTs than this gets a warning."""
MIN_MEASURED_ROUND_TRIPS = 10
"""A measured window of fewer base RTTs than this gets a warning: one cycle of BBR's ProbeBW takes eight."""


def flow_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of the flows and their sockets."""
    return [
        congestion_control(trial),
        iperf_finished(trial),
        short_flows(trial),
        flow_duration(trial),
        long_enough(trial),
        measured_window(trial),
        receive_window(trial),
        send_buffer(trial),
        instruments(trial),
    ]


def congestion_control(trial: MeasuredTrial) -> Check:
    """Check that each socket used the congestion control that the experiment asks for.

    A program that ignores a failed ``setsockopt()`` leaves its socket with the default algorithm.  See pitfall 11 in
    docs/explanation/pitfalls.md.
    """
    findings = []
    for flow in trial.flows:
        asked, found = flow.asked["congestion_control"], flow.result["congestion_control"]
        findings.append(Finding("ok" if asked == found else "invalid", asked, found or "nothing read back"))
    return combine(
        "congestion-control",
        "Congestion control of the socket",
        findings,
        threshold="invalid: another algorithm than the experiment asks for",
        meaning="The algorithm is read back from the socket in the kernel. If it is another one, the comparison is "
        "void.",
    )


def iperf_finished(trial: MeasuredTrial) -> Check:
    """Check that iperf3 finished without an error and received data at the receiver.

    iperf3 may end early and leave a partial result.  See pitfall 9 in docs/explanation/pitfalls.md.
    """
    findings = []
    for flow in trial.iperf_flows:
        failure = iperf.error(flow.client) or iperf.error(flow.server)
        if failure and not flow.result["was_given_up"]:  # Otherwise, it says that it was interrupted.
            findings.append(Finding("invalid", "no error message", f"{flow.name}: {failure}"))
        elif flow.received().bytes == 0:
            findings.append(Finding("invalid", "data received", f"{flow.name}: no data received"))
        else:
            findings.append(Finding("ok", "no error message", "no error message"))
    return combine(
        "iperf3-finished",
        "iperf3 finished",
        findings,
        threshold="invalid: an error message, or no data received",
        meaning="A flow that ended early or never started has no goodput that can be compared.",
    )


def short_flows(trial: MeasuredTrial) -> Check:
    """Check that the short flows completed.

    Flows that did not complete would have the longest completion times.  Without them, the distribution of completion
    times looks better than it is.
    """
    findings = []
    for flow in trial.flows:
        if flow.completions is None:
            continue
        number, done = len(flow.completions), int(flow.completions.is_complete.sum())
        unfinished = 1 - done / number if number else 1.0
        who = f"{flow.name}: " if done < number else ""
        findings.append(Finding(graded(unfinished, 0, 0.05), "all completed", f"{who}{done} of {number} completed"))
    return combine(
        "short-flows",
        "Short flows completed",
        findings,
        threshold="warn: a flow did not complete; invalid: more than 5 % of the flows did not complete",
        meaning="A flow that had not completed at the end of the trial has no completion time, so the longest "
        "completion times are missing.",
    )


def flow_duration(trial: MeasuredTrial) -> Check:
    """Check that each flow began when the experiment asks for it, and sent until its declared end, or all of its data.

    iperf3 reads ``--time`` as a whole number and silently drops a fraction.  A connection that cannot be opened in time
    delays the start of its flow.
    """
    findings = []
    for flow in trial.iperf_flows:
        if flow.asked["limit_bytes"] is not None:
            findings.append(_amount(flow, flow.asked["limit_bytes"]))
            continue
        sent = flow.result["accounts"]["sides"]["sent"]["all"]
        asked = flow.asked["duration_ns"]
        asked_text = f"data from {flow.start_ns / 1e9:g} s to {flow.end_ns / 1e9:g} s"
        if sent["first_ns"] is None or sent["last_ns"] is None:
            findings.append(Finding("invalid", asked_text, f"{flow.name}: no data were sent"))
            continue
        late, early = sent["first_ns"] - flow.start_ns, flow.end_ns - sent["last_ns"]
        verdict = worst([graded(late / asked, 0.02, 0.10), "warn" if early > 0.10 * asked else "ok"])
        who = f"{flow.name}: " if verdict != "ok" else ""
        found = f"{who}data from {sent['first_ns'] / 1e9:.3f} s to {sent['last_ns'] / 1e9:.3f} s"
        findings.append(Finding(verdict, asked_text, found))
    return combine(
        "flow-duration",
        "Duration of the flows",
        findings,
        threshold="warn: the first packet left more than 2 % of the duration after the declared start, or the last one "
        "more than 10 % before the declared end; invalid: the first packet left more than 10 % of the duration late, "
        "no data were sent, or a flow with an amount of data delivered less than that, or over two blocks more",
        meaning="All figures of a flow are those of its declared time. A flow that began late or was cut short cannot "
        "be compared with others.",
    )


def _amount(flow: MeasuredFlow, limit_bytes: int) -> Finding:
    """Return the finding for a flow that sends an amount of data instead of sending for some time.

    iperf3 writes whole blocks, so the last block may exceed the amount; up to two blocks more are accepted.
    """
    done = flow.received().bytes
    verdict: Verdict = "ok" if limit_bytes <= done <= limit_bytes + 2 * iperf.block_bytes(flow.client) else "invalid"
    return Finding(verdict, f"{limit_bytes} B", f"{done} B" if verdict == "ok" else f"{flow.name}: {done} B")


def long_enough(trial: MeasuredTrial) -> Check:
    """Check that each flow lasts for enough round trips, so that slow start is only a small part of it."""
    findings = []
    for flow in trial.bulk_flows:
        base = flow.base_rtt_us
        # A path's own few microseconds must not matter if the declared duration is a whole number of declared RTTs.
        trips = round(flow.asked["duration_ns"] / 1000 / base) if base else math.inf
        found = f"{trips} round trips" if trips != math.inf else "no delay declared"
        asked = f"{MIN_ROUND_TRIPS} round trips or more"
        findings.append(Finding("ok" if trips >= MIN_ROUND_TRIPS else "warn", asked, found))
    return combine(
        "long-enough",
        "Duration in round trips",
        findings,
        threshold=f"warn: the flow lasts for fewer than {MIN_ROUND_TRIPS} base RTTs",
        meaning="Slow start is a large part of a short flow, and the algorithms do not reach their steady state in it.",
    )


def measured_window(trial: MeasuredTrial) -> Check:
    """Check that there is something to measure in each measured window that is only a part of its flow's time.

    A flow with an amount of data may have ended before the window, and none of the short flows may start in it.
    """
    findings = []
    for flow in trial.flows:
        if not (flow.is_cut and flow.is_measured):
            continue
        start_ns, end_ns = flow.window["start_ns"], flow.window["end_ns"]
        asked = f"data from {start_ns / 1e9:g} s to {end_ns / 1e9:g} s"
        trips = round((end_ns - start_ns) / 1000 / flow.base_rtt_us) if flow.base_rtt_us else math.inf
        if flow.received("measured").bytes == 0:
            is_starved = flow.is_iperf and flow.asked["limit_bytes"] is None
            findings.append(Finding("warn" if is_starved else "invalid", asked, f"{flow.name}: no data"))
        elif flow.is_bulk and trips < MIN_MEASURED_ROUND_TRIPS:
            expected = f"a window of {MIN_MEASURED_ROUND_TRIPS} round trips or more"
            findings.append(Finding("warn", expected, f"{flow.name}: {trips} round trips"))
        else:
            findings.append(Finding("ok", asked, "data in the window"))
    return combine(
        "measured-window",
        "Measured window contains data",
        findings,
        threshold="invalid: a flow with an amount of data sent nothing within its window, or no short flow started in "
        f"it; warn: nothing arrived of another flow, or the window has fewer than {MIN_MEASURED_ROUND_TRIPS} base RTTs",
        meaning="Figures of a window in which a flow had nothing to send mean nothing, and those of a few round trips "
        "depend on which ones they are.",
    )


def receive_window(trial: MeasuredTrial) -> Check:
    """Check that the receiver's window did not limit the flows, in place of congestion control.

    See pitfall 10 in docs/explanation/pitfalls.md.
    """
    return _limited(
        trial,
        "rwnd_limited",
        "receive-window",
        "Not limited by the receive window",
        "While the receiver's window is the limit, it sets the rate in place of congestion control. It also misleads "
        "BBR.",
    )


def send_buffer(trial: MeasuredTrial) -> Check:
    """Check that the send buffer did not limit the flows, in place of congestion control.

    See pitfall 10 in docs/explanation/pitfalls.md.
    """
    return _limited(
        trial,
        "sndbuf_limited",
        "send-buffer",
        "Not limited by the send buffer",
        "While the send buffer is the limit, it sets the rate in place of congestion control.",
    )


def _limited(trial: MeasuredTrial, field: str, id: str, title: str, meaning: str) -> Check:
    findings = []
    short_of_memory = ran_short_of_memory(trial)
    for flow in trial.bulk_flows:
        info = flow.result["tcp_info"]
        busy, limited = info.get("busy_time"), info.get(field)
        if not busy or limited is None:
            findings.append(Finding("warn", "0 % of the busy time", f"{flow.name}: not read back"))
            continue
        share = limited / busy
        why = ", because the kernel was short of memory for sockets" if share and short_of_memory else ""
        found = f"{share:.1%} ({flow.name}){why}"
        findings.append(Finding(graded(share, 0.01, 0.10), "0 % of the busy time", found))
    return combine(
        id,
        title,
        findings,
        threshold="warn: limited for more than 1 % of the busy time; invalid: more than 10 %",
        meaning=meaning,
    )


def instruments(trial: MeasuredTrial) -> Check:
    """Check that tcp_probe, iperf3 and tcp_info agree with what the kernel counted of the flow.

    iperf3 does not report everything, and a collector can lose events.  See pitfalls 9 and 12 in
    docs/explanation/pitfalls.md.
    """
    findings = [finding for flow in trial.bulk_flows for finding in _instruments_of(trial, flow)]
    return combine(
        "instruments-agree",
        "tcp_probe, iperf3 and tcp_info agree",
        findings,
        threshold="delivered bytes: warn if the rows of tcp_probe differ by more than 1 % + one window, invalid if by "
        "more than four times that; warn if iperf3 differs by more than 1 % + two blocks + what was in flight at the "
        "end; retransmissions: warn if they differ by more than 5 % + 10; smoothed RTT: warn if it differs by more "
        "than 10 % + 1 ms; invalid: fewer than two rows of tcp_probe",
        meaning="If independent instruments disagree, one of them misses events or mixes them up.",
    )


def _has_own_queue(trial: MeasuredTrial, host: str) -> bool:
    """Return whether the experiment sets a queueing discipline on the host's own interfaces."""
    settings = next(node.get("settings") for node in trial.job["nodes"] if node["name"] == host)
    return settings is not None and settings["queue"] is not None


def _instruments_of(trial: MeasuredTrial, flow: MeasuredFlow) -> list[Finding]:
    if flow.samples is not None and len(flow.samples) < 2:
        found = f"{flow.name}: {len(flow.samples)} rows of tcp_probe"
        return [Finding("invalid", "two or more rows of each flow", found)]
    # If only changes of the window are recorded, the last row may be long before the end of the flow.
    is_whole = trial.job["collectors"].get("tcp_probe", {}).get("record") != "cwnd_change"
    readings: list[tuple[Agreement | None, Callable[[Agreement], Verdict]]] = [
        (
            agreement.delivered_bytes(flow, trial.mss) if is_whole else None,
            lambda reading: graded(reading.excess, 1, 4),
        ),
        (agreement.read_by_iperf3(flow, trial.mss), lambda reading: "ok" if reading.agrees else "warn"),
        (
            agreement.retransmissions(flow, has_own_queue=_has_own_queue(trial, flow.asked["source"])),
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
        for reading, judged in done
        if judged == verdict
    ]
