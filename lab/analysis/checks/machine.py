# SPDX-License-Identifier: Apache-2.0
"""Checks of the machine that ran the trial, and of the settings of its kernel."""

from __future__ import annotations

from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded
from lab.analysis.measured import MeasuredTrial

_TCP_ECN = {"off": 0, "on": 1, "passive": 2}


def machine_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of the processor, the collectors and the sysctls."""
    return [
        cpu(trial),
        *quiet_machine(trial),
        lost_events(trial),
        metrics_cache(trial),
        ecn(trial),
        socket_buffers(trial),
    ]


def cpu(trial: MeasuredTrial) -> Check:
    """Check that the processor was not busy all the time, and so not the bottleneck.

    Hosts, routers and instruments share the processor.  See pitfalls 8 and 14 in docs/explanation/pitfalls.md.
    """
    used = trial.record["cpu"]
    if used["total_ns"] <= 0:
        findings = [Finding("warn", "busy for less than 70 % of the time", "not measured")]
    else:
        share = used["busy_ns"] / used["total_ns"]
        verdict = graded(share, 0.70, 0.90)
        findings = [Finding(verdict, "busy for less than 70 % of the time", f"busy for {share:.0%} of the time")]
    return combine(
        "cpu",
        "Processor had time to spare",
        findings,
        threshold="warn: busy for more than 70 % of the time; invalid: more than 90 %",
        meaning="The same processors run the hosts, the routers and the instruments. If they are always busy, they are "
        "the bottleneck.",
    )


def quiet_machine(trial: MeasuredTrial) -> list[Check]:
    """Check that no other work on the machine disturbed a trial in real time.

    The list is empty for a trial in virtual time, because no other work can disturb it.  See pitfall 8 in
    docs/explanation/pitfalls.md.
    """
    found = trial.record["pressure"]
    if found is None:
        return []
    used = trial.record["cpu"]
    processors, passed_ns = used["processors"], max(1, used["total_ns"] // max(1, used["processors"]))
    findings = [
        Finding(
            "invalid" if found["softnet_dropped"] else "ok",
            "no packet dropped before the network stack",
            f"{found['softnet_dropped']} dropped (softnet)",
        ),
        _share("stolen by a hypervisor", found["steal_ns"] / max(1, used["total_ns"]), 0.01, 0.05),
        Finding(
            "warn" if found["load_before"] > processors else "ok",
            f"a load average of {processors} or less before the trial",
            f"a load average of {found['load_before']:.2f}",
        ),
    ]
    if found["stall_ns"] is not None:
        findings.append(_share("with a task waiting for a processor", found["stall_ns"] / passed_ns, 0.2, 0.5))
    return [
        combine(
            "quiet-machine",
            "No other work on the machine",
            findings,
            threshold="invalid: a packet dropped before the network stack saw it, more than 5 % of the time stolen by "
            "a hypervisor, or a task waiting for a processor for more than 50 % of the time; warn: more than 1 % "
            "stolen, a task waiting for more than 20 % of the time, or a load average before the trial above the "
            "number of processors",
            meaning="In real time, all other work of the machine delays packets and timers, and the results do not "
            "show it.",
        )
    ]


def _share(what: str, share: float, warn: float, invalid: float) -> Finding:
    asked, found = f"less than {warn:.0%} of the time {what}", f"{share:.1%} of the time {what}"
    return Finding(graded(share, warn, invalid), asked, found)


HISTOGRAMS = ("drops_latency",)
"""Collectors whose rows are histograms instead of events: a few missing samples do not change what they show."""


def lost_events(trial: MeasuredTrial) -> Check:
    """Check that the collectors recorded all events.

    Events get lost if they come faster than they are read.  See pitfall 12 in docs/explanation/pitfalls.md.
    """
    findings = []
    for name, result in trial.record["collectors"].items():
        if name in HISTOGRAMS:
            continue
        total = result["rows"] + result["lost"]
        share = result["lost"] / total if total else 0.0
        verdict: Verdict = "ok" if not result["lost"] else graded(share, 0.0, 0.001)
        findings.append(Finding(verdict, "none", f"{result['lost']} of {total} ({name})" if result["lost"] else "none"))
    return combine(
        "lost-events",
        "No lost events",
        findings,
        threshold="warn: any lost event; invalid: more than 0.1 % of the events of a collector",
        meaning="Events for which there was no room are missing from the rows, most likely from the busiest moments.",
    )


def metrics_cache(trial: MeasuredTrial) -> Check:
    """Check that TCP did not start connections with metrics that it remembered from earlier ones.

    See pitfall 6 in docs/explanation/pitfalls.md.
    """
    found = sysctl(trial, "tcp_no_metrics_save")
    verdict: Verdict = "ok" if found == "1" else "warn" if found is None else "invalid"
    return combine(
        "metrics-cache",
        "No memory of earlier connections",
        [Finding(verdict, "tcp_no_metrics_save = 1", "not read back" if found is None else found)],
        threshold="invalid: tcp_no_metrics_save is not 1; warn: it was not read back",
        meaning="A cached ssthresh or RTT of an earlier connection changes how the next one starts.",
    )


def ecn(trial: MeasuredTrial) -> Check:
    """Check that the kernel negotiates ECN as the experiment asks."""
    asked, found = _TCP_ECN[trial.job["ecn"]], sysctl(trial, "tcp_ecn")
    verdict: Verdict = "ok" if found == str(asked) else "warn" if found is None else "invalid"
    return combine(
        "ecn",
        "ECN setting",
        [Finding(verdict, f"tcp_ecn = {asked}", "not read back" if found is None else found)],
        threshold="invalid: another value than the experiment asks for; warn: it was not read back",
        meaning="With ECN, a queue marks packets instead of dropping them, and some algorithms react differently to "
        "marks.",
    )


def socket_buffers(trial: MeasuredTrial) -> Check:
    """Check that socket buffers may grow to twice the sum of the path's BDP and its queue, at all times.

    Smaller buffers would limit the flow.  See pitfall 10 in docs/explanation/pitfalls.md.
    """
    needs = []
    for flow in trial.flows:
        if flow.path.bdp_bytes is not None:
            needs += [
                2 * (bdp_bytes + (flow.path.queue_bytes(trial.job["mtu"], since_ns) or 0))
                for since_ns, _until_ns, bdp_bytes in flow.path.bdp_bytes.spans(flow.start_ns, flow.end_ns)
            ]
    need = max(needs, default=0)
    findings = []
    for name in ("tcp_rmem", "tcp_wmem"):
        values = (sysctl(trial, name) or "").split()
        if len(values) != 3 or not values[2].isdigit():
            findings.append(Finding("warn", f"at least {need} B", f"{name}: not read back"))
            continue
        most = int(values[2])
        verdict: Verdict = "invalid" if most < need / 2 else "warn" if most < need else "ok"
        findings.append(Finding(verdict, f"at least {need} B", f"{name} up to {most} B"))
    return combine(
        "socket-buffers",
        "Socket buffers are large enough",
        findings,
        threshold="warn: less than 2 × (BDP + queue); invalid: less than BDP + queue",
        meaning="Buffers that are smaller than what the path and its queue hold limit the flow before congestion "
        "control does.",
    )


def sysctl(trial: MeasuredTrial, name: str) -> str | None:
    """Return the value of the sysctl whose last component is *name*; None if it was not recorded.

    Whitespace in the value is reduced to single spaces.
    """
    for key, value in sorted(trial.record["sysctls"].items()):
        if key.replace("/", ".").rsplit(".", 1)[-1] == name:
            return " ".join(str(value).split())
    return None
