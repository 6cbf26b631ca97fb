# SPDX-License-Identifier: Apache-2.0
"""Checks of the machine that ran the trial and of its kernel's settings."""

from __future__ import annotations

from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded
from lab.analysis.measured import MeasuredTrial

_TCP_ECN = {"off": 0, "on": 1, "passive": 2}


def machine_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of processor, collectors and sysctls."""
    return [
        cpu(trial),
        *quiet_machine(trial),
        lost_events(trial),
        metrics_cache(trial),
        ecn(trial),
        socket_buffers(trial),
    ]


def cpu(trial: MeasuredTrial) -> Check:
    """Pitfalls 8 and 14."""
    used = trial.record["cpu"]
    if used["total_ns"] <= 0:
        findings = [Finding("warn", "below 70 %", "not measured")]
    else:
        share = used["busy_ns"] / used["total_ns"]
        findings = [Finding(graded(share, 0.70, 0.90), "below 70 %", f"{share:.0%} busy")]
    return combine(
        "cpu",
        "Processor had time to spare",
        findings,
        threshold="warn: above 70 %; invalid: above 90 %",
        meaning="The same processors run hosts, routers and instruments; when they are busy, they are the bottleneck.",
    )


def quiet_machine(trial: MeasuredTrial) -> list[Check]:
    """Did anything else on the machine disturb a trial in real time?  In virtual time nothing can."""
    found = trial.record["pressure"]
    if found is None:
        return []
    used = trial.record["cpu"]
    processors, passed_ns = used["processors"], max(1, used["total_ns"] // max(1, used["processors"]))
    findings = [
        Finding(
            "invalid" if found["softnet_dropped"] else "ok",
            "no packet dropped before the stack",
            f"{found['softnet_dropped']} dropped (softnet)",
        ),
        _share("stolen by a hypervisor", found["steal_ns"] / max(1, used["total_ns"]), 0.01, 0.05),
        Finding(
            "warn" if found["load_before"] > processors else "ok",
            f"a load of {processors} or less before",
            f"{found['load_before']:.2f}",
        ),
    ]
    if found["stall_ns"] is not None:
        findings.append(_share("some task waited for a processor", found["stall_ns"] / passed_ns, 0.2, 0.5))
    return [
        combine(
            "quiet-machine",
            "The machine did nothing else",
            findings,
            threshold="invalid: packets dropped before the stack saw them, 5 % of the time stolen, or tasks waiting "
            "for a processor half of the time; warn: 1 % stolen, waiting a fifth of the time, or a load above the "
            "number of processors before",
            meaning="In real time, whatever else the machine does delays packets and timers, and nothing shows it.",
        )
    ]


def _share(what: str, share: float, warn: float, invalid: float) -> Finding:
    return Finding(graded(share, warn, invalid), f"below {warn:.0%} of the time {what}", f"{share:.1%} {what}")


HISTOGRAMS = ("drops_latency",)
"""Results whose rows are no events: that a few of many samples are missing changes nothing that they say."""


def lost_events(trial: MeasuredTrial) -> Check:
    """Pitfall 12."""
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
        threshold="warn: any; invalid: more than 0.1 %",
        meaning="Events that found no room are missing from traces, most likely where the most happened.",
    )


def metrics_cache(trial: MeasuredTrial) -> Check:
    """Pitfall 6."""
    found = sysctl(trial, "tcp_no_metrics_save")
    verdict: Verdict = "ok" if found == "1" else "warn" if found is None else "invalid"
    return combine(
        "metrics-cache",
        "No memory of earlier connections",
        [Finding(verdict, "tcp_no_metrics_save = 1", "not read back" if found is None else found)],
        threshold="invalid: 0; warn: not read back",
        meaning="A cached ssthresh or RTT of an earlier connection changes how the next one starts.",
    )


def ecn(trial: MeasuredTrial) -> Check:
    """Is ECN negotiated as asked?"""
    asked, found = _TCP_ECN[trial.job["ecn"]], sysctl(trial, "tcp_ecn")
    verdict: Verdict = "ok" if found == str(asked) else "warn" if found is None else "invalid"
    return combine(
        "ecn",
        "ECN setting",
        [Finding(verdict, f"tcp_ecn = {asked}", "not read back" if found is None else found)],
        threshold="invalid: another value; warn: not read back",
        meaning="With ECN a queue marks instead of dropping, which some algorithms treat differently.",
    )


def socket_buffers(trial: MeasuredTrial) -> Check:
    """Pitfall 10, from the settings: buffers hold twice the path's BDP and the queue."""
    needs = []
    for flow in trial.flows:
        if flow.path.bdp_bytes is not None:
            needs.append(2 * (flow.path.bdp_bytes + (flow.path.queue_bytes(trial.job["mtu"]) or 0)))
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
        threshold="warn: below 2 × (BDP + queue); invalid: below BDP + queue",
        meaning="Buffers smaller than what the path and its queue hold limit the flow before congestion control does.",
    )


def sysctl(trial: MeasuredTrial, name: str) -> str | None:
    """Return the sysctl whose last component is *name*, with single spaces; None when it was not recorded."""
    for key, value in sorted(trial.record["sysctls"].items()):
        if key.replace("/", ".").rsplit(".", 1)[-1] == name:
            return " ".join(str(value).split())
    return None
