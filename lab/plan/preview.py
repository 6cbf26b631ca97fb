# SPDX-License-Identifier: Apache-2.0
"""What running a plan would do: the way of each flow, the commands that build its links, how long it may take."""

from __future__ import annotations

import re

from lab.agent.topology import addressing, links
from lab.job.network import route
from lab.job.protocol import Flow, Job
from lab.plan.notes import busy_share, offered_bps
from lab.plan.plan import Plan
from lab.units import format_duration, format_rate, format_size

__all__ = ["preview"]

WALL_PER_BUSY_S = 3.3
"""Seconds on one processor of the host for a second that the guest's is busy (``make bench``: 1.15 s of wall time for
a second at 100 Mbit/s, in which it is 31 % busy)."""
FIXED_S = 2.5
"""What a trial costs besides its traffic."""
MAX_WAYS = 12


def preview(plan: Plan, jobs: int) -> str:
    """Return the lines below the plan's own description: of its first trial, and of all of them the time."""
    job = plan.trials[0].job
    lines = [*_ways(job), *_commands(job), _time(plan, jobs)]
    return "\n".join(lines)


def _ways(job: Job) -> list[str]:
    """Each way once: ``s1 — r1 ═ r2 — d1``, double where there is a rate limit."""
    found: dict[str, list[str]] = {}
    for flow in job["flows"]:
        hops = route(job, flow["source"], flow["destination"])
        drawn = flow["source"] + "".join(f" {'═' if hop.direction['rate_bps'] else '—'} {hop.receiver}" for hop in hops)
        found.setdefault(drawn, []).append(flow["name"] + _offered(flow))
    lines = []
    for number, (drawn, names) in enumerate(list(found.items())[:MAX_WAYS]):
        label = "flows" if number == 0 else ""
        shown = ", ".join(names[:4]) + (f" … {names[-1]}" if len(names) > 4 else "")
        lines.append(f"  {label:<8} {drawn}   {shown}")
    if len(found) > MAX_WAYS:
        lines.append(f"  {'':<8} and {len(found) - MAX_WAYS} more")
    return lines


def _offered(flow: Flow) -> str:
    """What short flows come to: ``(695, 22 kB in the mean, 3.5 Mbit/s)``."""
    if flow["arrivals"] is None or not flow["arrivals"]["bytes"]:
        return ""
    sizes = flow["arrivals"]["bytes"]
    mean = format_size(round(sum(sizes) / len(sizes), -2))
    return f" ({len(sizes)} flows, {mean} in the mean: {format_rate(offered_bps(flow) or 0, 3)})"


def _commands(job: Job) -> list[str]:
    """What the agent gives to ``tc -batch``, node by node; alike once."""
    every = addressing.ports(job)
    by_text: dict[tuple[str, ...], list[str]] = {}
    for port in every:
        commands = links.rate_commands(port.interface, links.leaving(job, port), job["mtu"])
        netem = links.arriving(job, port)["netem"]
        if netem is not None:
            # On an ifb of its own; how packets come to it is the same everywhere.
            commands += links.netem_commands(port.interface, "ifb", netem)[2:]
        if commands:
            # Where they differ in the interface alone, one stands for all.
            alike = tuple(re.sub(r"dev \S+", "dev DEV", command) for command in commands)
            by_text.setdefault(_without_seeds(alike), []).append(f"{port.node} {port.interface}")
    lines: list[str] = []
    for commands_, places in by_text.items():
        shown = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
        lines.append(f"  {'tc' if not lines else '':<8} {shown}:")
        lines += [f"  {'':<8}   {command}" for command in commands_]
    return lines


def _without_seeds(commands: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(command.partition(" seed ")[0] for command in commands)


def _time(plan: Plan, jobs: int) -> str:
    seconds = sum(
        FIXED_S + trial.job["duration_ns"] / 1e9 * min(1.0, busy_share(trial.job)) * WALL_PER_BUSY_S
        for trial in plan.trials
    )
    wall = format_duration(round(seconds / min(jobs, len(plan.trials))) * 10**9)
    return f"  {'wall':<8} some {wall} with {jobs} trials at a time, on a machine as that of the README's figures"
