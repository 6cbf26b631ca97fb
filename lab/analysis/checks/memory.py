# SPDX-License-Identifier: Apache-2.0
"""Checks of the memory that sockets had: the buffers of each one, and what the kernel allows all of them together."""

from __future__ import annotations

from lab.analysis.checks.check import Check, Finding, Verdict, combine
from lab.analysis.measured import MeasuredFlow, MeasuredTrial

_SHORT_OF_MEMORY = {
    "TcpExtTCPMemoryPressures": "the kernel was short of memory for all TCP sockets {} times",
    "TcpExtTCPAbortOnMemory": "the kernel aborted {} connections, because it had no memory for them",
    "UdpMemErrors": "{} datagrams were dropped, because there was no memory for them",
    "Udp6MemErrors": "{} datagrams were dropped, because there was no memory for them",
}
"""Counter of the kernel → what it means; all of them are caused by the limits tcp_mem and udp_mem."""
_FULL_BUFFERS = {
    "TcpExtRcvPruned": "{} segments were dropped, because a receive buffer was full",
    "TcpExtPruneCalled": "the kernel had to free memory in a full receive buffer {} times",
    "TcpExtOfoPruned": "the kernel dropped segments that came out of order {} times, because a receive buffer was full",
    "TcpExtTCPRcvCollapsed": "the kernel copied {} segments together, because a receive buffer was full",
}
"""Counter of the kernel → what it means; all of them are caused by the size of one socket's receive buffer."""


def memory_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of the sockets' memory."""
    return [socket_buffers(trial), socket_memory(trial)]


def socket_buffers(trial: MeasuredTrial) -> Check:
    """Check that socket buffers may grow to twice the sum of the path's BDP and its queue, at all times.

    Smaller buffers would limit the flow.  See pitfall 10 in docs/explanation/pitfalls.md.
    """
    needs = [
        2 * min(bdp_bytes + (flow.path.queue_bytes(trial.job["mtu"], since_ns) or 0), _sent_bytes(flow))
        for flow in trial.flows
        if flow.path.bdp_bytes is not None and flow.asked["protocol"] == "tcp"
        for since_ns, _until_ns, bdp_bytes in flow.path.bdp_bytes.spans(flow.start_ns, flow.end_ns)
    ]
    need = max(needs, default=0)
    findings = []
    for name in ("tcp_rmem", "tcp_wmem"):
        values = (trial.sysctl(name) or "").split()
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


def _counted(node: str, counts: dict[str, int], known: dict[str, str], verdict: Verdict, limit: str) -> list[Finding]:
    return [
        Finding(verdict, "never short of memory", f"{node}: {text.format(counts[name])} ({limit})")
        for name, text in known.items()
        if counts.get(name)
    ]


def _sent_bytes(flow: MeasuredFlow) -> int:
    """Return what the bottleneck can carry within the flow's duration: no queue in front of it can hold more."""
    rate_bps = flow.path.mean_rate_bps(flow.start_ns, flow.end_ns) or 0
    return rate_bps * flow.asked["duration_ns"] // 8_000_000_000


def ran_short_of_memory(trial: MeasuredTrial) -> bool:
    """Return whether the limit of all sockets' memory had an effect on the trial."""
    return any(counts.get(name) for counts in trial.record["counters"].values() for name in _SHORT_OF_MEMORY)


def socket_memory(trial: MeasuredTrial) -> Check:
    """Check that the kernel had enough memory for sockets, and receivers enough room in their buffers.

    The counters are those of ``tcp_enter_memory_pressure()`` and ``tcp_prune_queue()`` (net/ipv4/tcp.c and
    net/ipv4/tcp_input.c in the kernel).
    """
    limits = trial.sysctl("tcp_mem")
    findings: list[Finding] = []
    for node, counts in sorted(trial.record["counters"].items()):
        findings += _counted(node, counts, _SHORT_OF_MEMORY, "invalid", f"tcp_mem: {limits} pages")
        findings += _counted(
            node, counts, _FULL_BUFFERS, "warn", f"socket_buffer: {trial.job['socket_buffer_bytes']} B"
        )
    return combine(
        "socket-memory",
        "Enough memory for sockets",
        findings or [Finding("ok", "never short of memory", "never short of memory")],
        threshold="invalid: the kernel was short of memory for all sockets (tcp_mem, udp_mem); warn: a receive buffer "
        "was full and had to be pruned or collapsed",
        meaning="A kernel that is short of memory shrinks windows and drops segments that have arrived. The rate is "
        "then that of the machine's memory, and not that of the path.",
    )
