# SPDX-License-Identifier: Apache-2.0
"""Preview the run of a plan: the path of each flow, the ``tc`` commands of the links, and an estimate of the time."""

from __future__ import annotations

import math
import re

from lab.agent.topology import addressing, links
from lab.job.network import route
from lab.job.protocol import Flow, Job
from lab.plan.notes import busy_share, offered_bps
from lab.plan.plan import Plan
from lab.units import format_duration, format_rate, format_size

__all__ = ["preview"]

WALL_PER_BUSY_S = {"vm": 3.3, "uml": 0.24}
"""Engine → wall-clock seconds on one processor of the host for each second in which a virtual machine's processor would
be busy with the same traffic.

``make bench`` measured 1.15 s of wall-clock time in a virtual machine for a second of virtual time with 100 Mbit/s of
traffic, in which the guest's processor is busy for 31 % of the time.
"""
FIXED_S = {"vm": 2.5, "uml": 0.7}
"""Engine → wall-clock seconds that a trial takes in addition to its traffic."""
START_S = {"vm": 0.0, "uml": 2.0}
"""Engine → wall-clock seconds before the first trial."""
NATIVE_FIXED_S = 3.0
"""Seconds that a native trial takes in addition to its traffic."""
MAX_PATHS = 12
"""The largest number of paths that are shown."""


def preview(plan: Plan, jobs: int) -> str:
    """Return the lines that ``lab check`` prints below the description of the plan.

    They show the paths and commands of the first trial, and the estimated time of all trials with *jobs* in parallel.
    """
    job = plan.trials[0].job
    lines = [*_paths(job), *_commands(job), _time(plan, jobs)]
    return "\n".join(lines)


def _paths(job: Job) -> list[str]:
    """Return a line for each path, such as ``s1 — r1 ═ r2 — d1``; a double line means a rate limit."""
    found: dict[str, list[str]] = {}
    for flow in job["flows"]:
        hops = route(job, flow["source"], flow["destination"])
        drawn = flow["source"] + "".join(f" {'═' if hop.direction['rate_bps'] else '—'} {hop.receiver}" for hop in hops)
        found.setdefault(drawn, []).append(flow["name"] + _offered(flow))
    lines = []
    for number, (drawn, names) in enumerate(list(found.items())[:MAX_PATHS]):
        label = "flows" if number == 0 else ""
        shown = ", ".join(names[:4]) + (f" … {names[-1]}" if len(names) > 4 else "")
        lines.append(f"  {label:<8} {drawn}   {shown}")
    if len(found) > MAX_PATHS:
        lines.append(f"  {'':<8} and {len(found) - MAX_PATHS} more paths")
    return lines


def _offered(flow: Flow) -> str:
    """Return a summary of short flows, such as ``(695 flows, 22 kB on average: 3.5 Mbit/s)``."""
    if flow["arrivals"] is None or not flow["arrivals"]["bytes"]:
        return ""
    sizes = flow["arrivals"]["bytes"]
    mean = format_size(round(sum(sizes) / len(sizes), -2))
    return f" ({len(sizes)} flows, {mean} on average: {format_rate(offered_bps(flow) or 0, 3)})"


def _commands(job: Job) -> list[str]:
    """Return the commands that the agent passes to ``tc -batch``; interfaces with the same commands share them."""
    by_text: dict[tuple[str, ...], list[str]] = {}
    for port in addressing.ports(job):
        commands = links.rate_commands(port.interface, links.leaving(job, port), job["mtu"])
        netem = links.arriving(job, port)["netem"]
        if netem is not None:
            # The first two commands, which redirect packets to the ifb, are the same for all interfaces and left out.
            commands += links.netem_commands(port.interface, "ifb", netem)[2:]
        if commands:
            # The name of the interface is replaced, so that commands which differ only in it are shown once.
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
    if plan.engine == "native":
        seconds = sum(trial.job["duration_ns"] / 1e9 + NATIVE_FIXED_S for trial in plan.trials)
        return f"  {'wall':<8} about {format_duration(round(seconds) * 10**9)}, in real time and one trial at a time"
    at_a_time = min(jobs, len(plan.trials))
    found = {}
    for engine, per_busy_s in WALL_PER_BUSY_S.items():
        most = 1.0 if engine == "vm" else math.inf
        each = [
            FIXED_S[engine] + trial.job["duration_ns"] / 1e9 * min(most, busy_share(trial.job)) * per_busy_s
            for trial in plan.trials
        ]
        found[engine] = format_duration(max(1, round(START_S[engine] + sum(each) / at_a_time)) * 10**9)
    others = ", ".join(f"{wall} with {engine}" for engine, wall in found.items() if engine != plan.engine)
    return (
        f"  {'wall':<8} about {found[plan.engine]} with the engine {plan.engine} ({others}), "
        f"{at_a_time} at a time, on the machine of docs/explanation/speed.md"
    )
