# SPDX-License-Identifier: Apache-2.0
"""Preview the run of a plan: the path of each flow, the ``tc`` commands of the links, and an estimate of the time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from lab.agent.topology import addressing, links
from lab.experiment.resolve.paths import route
from lab.job.protocol import Flow, Job
from lab.plan.description import what_they_share
from lab.plan.load import busy_share, offered_bps
from lab.plan.plan import Cell, Plan
from lab.units import format_duration, format_rate, format_size

__all__ = ["preview"]

VM_PER_BUSY_S = 3.3
"""Wall-clock seconds on one processor of the host for each second in which a virtual machine's processor is busy.

``make bench`` measured 1.15 s of wall-clock time for a second of virtual time with 100 Mbit/s of traffic, in which the
guest's processor is busy for 31 % of the time.
"""
VM_FIXED_S = 2.5
"""Wall-clock seconds that a trial in a virtual machine takes in addition to its traffic."""
UML_PER_BUSY_S, UML_PER_NODE_S, UML_PER_FLOW_S, UML_PER_COLLECTOR_S = 0.34, 0.1, 0.05, 0.1
"""The same for User-mode Linux: for each second in which a virtual machine's processor would be busy, and in addition
for each node, flow and further collector.

The shipped experiments, run one after the other, took between 0.87 and 1.21 times as long as estimated.
"""
UML_PER_SHORT_FLOW_S = 0.0006
UML_START_S = 2.0
"""Wall-clock seconds before the first trial in User-mode Linux."""
NATIVE_FIXED_S = 3.0
"""Seconds that a native trial takes in addition to its traffic."""
MAX_PATHS = 12
"""The largest number of paths that are shown."""
MAX_CELLS = 6
"""The largest number of groups of cells whose commands are shown."""

_Command = tuple[str, str]
"""A node and its interface as text, and a command for it."""


def preview(plan: Plan, jobs: int) -> str:
    """Return the lines that ``lab check`` prints below the description of the plan.

    They show the paths of the first trial, the commands of all cells, and the estimated time of all trials with *jobs*
    in parallel.
    """
    lines = [*_paths(plan.trials[0].job), *_commands(plan), _time(plan, jobs)]
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
    mean = format_size(round(math.fsum(sizes) / len(sizes), -2))
    return f" ({len(sizes)} flows, {mean} on average: {format_rate(offered_bps(flow) or 0, 3)})"


def _commands(plan: Plan) -> list[str]:
    """Return the commands that the agent passes to ``tc -batch``: those of all cells first, then what differs."""
    first_jobs = {trial.cell_id: trial.job for trial in reversed(plan.trials)}
    groups: dict[tuple[_Command, ...], list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(tuple(_all_commands(first_jobs[cell.id])), []).append(cell)
    first, *others = groups
    shared = [command for command in first if all(command in other for other in others)]
    if not others:
        lines = _shown(shared)
    else:
        lines = ["in all cells:", *_shown(shared)] if shared else []
        for commands, cells in list(groups.items())[:MAX_CELLS]:
            own = [command for command in commands if command not in shared]
            lines += [f"where {what_they_share(plan, cells)}:", *(_shown(own) or ["  nothing else"])]
        if len(groups) > MAX_CELLS:
            lines.append(f"and {len(groups) - MAX_CELLS} more that differ")
    return [f"  {'tc' if number == 0 else '':<8} {line}" for number, line in enumerate(lines)]


def _shown(commands: Iterable[_Command]) -> list[str]:
    """Return lines with the commands of each interface; interfaces with the same commands share them."""
    of: dict[str, list[str]] = {}
    for place, command in commands:
        of.setdefault(place, []).append(command)
    alike: dict[tuple[str, ...], list[str]] = {}
    for place, own in of.items():
        alike.setdefault(tuple(own), []).append(place)
    lines = []
    for shared, places in alike.items():
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        lines += [f"{', '.join(places[:3])}{more}:", *(f"  {command}" for command in shared)]
    return lines


def _all_commands(job: Job) -> Iterator[_Command]:
    """Yield the commands of a job, with the node and interface that each is for."""
    for port in addressing.ports(job):
        commands = links.rate_commands(port.interface, links.leaving(job, port), job["mtu"])
        netem = links.arriving(job, port)["netem"]
        if netem is not None:
            # The first two commands, which redirect packets to the ifb, are the same for all interfaces and left out.
            commands += links.netem_commands(port.interface, "ifb", netem)[2:]
        for command in commands:
            # The name of the interface is replaced, so that commands which differ only in it are shown once.
            yield f"{port.node} {port.interface}", re.sub(r"dev \S+", "dev DEV", command).partition(" seed ")[0]


def _time(plan: Plan, jobs: int) -> str:
    if plan.engine == "native":
        native_s = sum(trial.job["duration_ns"] / 1e9 + NATIVE_FIXED_S for trial in plan.trials)
        return f"  {'wall':<8} about {format_duration(round(native_s) * 10**9)}, in real time and one trial at a time"
    at_a_time = min(jobs, len(plan.trials))
    shares = [(trial.job, busy_share(trial.job)) for trial in plan.trials]
    seconds = {
        "vm": sum(_vm_s(job, busy) for job, busy in shares) / at_a_time,
        "uml": UML_START_S + sum(_uml_s(job, busy) for job, busy in shares) / at_a_time,
    }
    walls = {engine: format_duration(max(1, round(wall_s)) * 10**9) for engine, wall_s in seconds.items()}
    others = ", ".join(f"{wall} with {engine}" for engine, wall in walls.items() if engine != plan.engine)
    return (
        f"  {'wall':<8} about {walls[plan.engine]} with the engine {plan.engine} ({others}), "
        f"{at_a_time} at a time, on the machine of docs/explanation/speed.md"
    )


def _vm_s(job: Job, busy: float) -> float:
    """Return the estimated wall-clock time of a trial in a virtual machine, in seconds; *busy* is its busy share."""
    return VM_FIXED_S + job["duration_ns"] / 1e9 * min(1.0, busy) * VM_PER_BUSY_S


def _uml_s(job: Job, busy: float) -> float:
    """Return the same for User-mode Linux."""
    parts = len(job["nodes"]) * UML_PER_NODE_S + len(job["flows"]) * UML_PER_FLOW_S
    parts += max(0, len(job["collectors"]) - 1) * UML_PER_COLLECTOR_S
    parts += sum(len(flow["arrivals"]["at_ns"]) for flow in job["flows"] if flow["arrivals"]) * UML_PER_SHORT_FLOW_S
    return parts + job["duration_ns"] / 1e9 * busy * UML_PER_BUSY_S
