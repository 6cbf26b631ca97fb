# SPDX-License-Identifier: Apache-2.0
"""Describe a plan as ``lab check`` prints it: its trials, the paths and queues in them, and notes.  No I/O."""

from __future__ import annotations

from lab.experiment.resolve.sizes import bdp_bytes, frame_bytes
from lab.job.network import mean_burst, mean_loss
from lab.job.over_time import is_down, netem_over_time
from lab.job.protocol import Direction, Flow, Job, Link, Loss
from lab.job.windows import declared_window, is_cut, is_measured
from lab.plan.notes import base_rtt_ns, base_rtt_over_time, notes_of
from lab.plan.plan import Cell, Plan
from lab.plan.repetitions import repetition_notes
from lab.units import format_duration, format_percent, format_rate, format_size, value_text

__all__ = ["describe", "notes", "what_they_share"]

_MAX_PATHS = 8
_MAX_PERIODS = 4
MAX_TIME_NS = 2**62


def describe(plan: Plan) -> str:
    """Return a description of the plan in a few lines: its axes and trials, its paths and their queues, and notes."""
    repetitions = max(trial.repetition for trial in plan.trials)
    virtual_ns = sum(trial.job["duration_ns"] for trial in plan.trials)
    rows = [("varied", f"{axis.label}: {', '.join(map(value_text, axis.values))}") for axis in plan.axes]
    rows += [
        ("trials", f"{_count(len(plan.cells), 'cell')} × {_count(repetitions, 'repetition')} = {len(plan.trials)}"),
        ("time", f"{format_duration(virtual_ns, 4)} of traffic in total, in virtual time"),
    ]
    rows += [("measured", text) for text in _measured(plan)]
    rows += _described_paths(plan)
    rows += [("note", note) for note in notes(plan)]
    lines = [f"{plan.name}: {plan.title}" if plan.title else plan.name]
    previous = ""
    for label, text in rows:
        lines.append(f"  {label if label != previous else '':<8} {text}")
        previous = label
    return "\n".join(lines)


def _measured(plan: Plan) -> list[str]:
    """Return the measured windows of the flows, for each cell that has others than the cells before."""
    texts: dict[str, None] = {}
    for job in (trial.job for trial in plan.trials if trial.repetition == 1):
        flows: dict[str, list[str]] = {}
        for flow in job["flows"]:
            flows.setdefault(_window_text(flow), []).append(flow["name"])
        if any(map(is_cut, job["flows"])):
            texts["; ".join(f"{_listed(names)} {when}" for when, names in flows.items())] = None
    shown = list(texts)[:_MAX_PATHS]
    return shown + ([f"and {_count(len(texts) - len(shown), 'other window')}"] if len(texts) > len(shown) else [])


def _window_text(flow: Flow) -> str:
    if not is_measured(flow):
        return "not at all"
    window, declared = flow["measured"], declared_window(flow)
    start = "the start" if window["start_ns"] == declared["start_ns"] else format_duration(window["start_ns"])
    end = "the end" if window["end_ns"] == declared["end_ns"] else format_duration(window["end_ns"])
    return f"from {start} to {end}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" … {names[-1]}" if len(names) > 4 else "")


def notes(plan: Plan) -> list[str]:
    """Return warnings about parts of the plan that are valid but have an effect that users hardly expect."""
    # One repetition is enough, because repetitions differ only in their seeds.
    jobs = [trial.job for trial in plan.trials if trial.repetition == 1]
    return [*notes_of(jobs), *repetition_notes(plan)]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _described_paths(plan: Plan) -> list[tuple[str, str]]:
    """Return rows that describe each path once, for all cells that share it."""
    first_jobs = {trial.cell_id: trial.job for trial in reversed(plan.trials)}
    # Loss that differs between cells is left out: it is already shown with its axis and does not affect the queues.
    with_loss = len({_losses(job) for job in first_jobs.values()}) == 1
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(_path_lines(first_jobs[cell.id], with_loss), []).append(cell)
    rows = []
    for lines, cells in list(groups.items())[:_MAX_PATHS]:
        rows += [("path", f"where {what_they_share(plan, cells)}:")] if len(groups) > 1 else []
        rows += [("path", line) for line in lines]
    if len(groups) > _MAX_PATHS:
        rows.append(("path", f"and {_count(len(groups) - _MAX_PATHS, 'more path')}"))
    return rows


def what_they_share(plan: Plan, cells: list[Cell]) -> str:
    """Return the values that distinguish ``cells`` from the other cells, such as ``loss is 0% or 1%``."""
    parts = []
    for axis in plan.axes:
        texts = list(dict.fromkeys(value_text(cell.values[axis.path]) for cell in cells))
        if len(texts) < len(axis.values):
            parts.append(f"{axis.label} is {' or '.join(texts)}")
    return ", ".join(parts)


def _losses(job: Job) -> tuple[float, ...]:
    netems = [direction["netem"] for link in job["links"] for direction in (link["ab"], link["ba"])]
    return tuple(mean_loss(netem) for netem in netems if mean_loss(netem))


def _path_lines(job: Job, with_loss: bool) -> tuple[str, ...]:
    rtts = sorted({base_rtt_ns(job, flow) for flow in job["flows"]})
    shown = format_duration(rtts[0]) + (f" to {format_duration(rtts[-1])}" if len(rtts) > 1 else "")
    later = {rtt for flow in job["flows"] for _at, rtt in base_rtt_over_time(job, flow).changes} - set(rtts)
    if later and (min(later) < rtts[0] or max(later) > rtts[-1]):
        extremes = dict.fromkeys(format_duration(rtt) for rtt in (min(later), max(later)))
        shown += f" (by its schedule {' to '.join(extremes)})"
    lines = [f"base RTT {shown}, {job['ip'].replace('ip', 'IP')}, MTU {job['mtu']}"]
    # Links with the same text are described once.
    alike: dict[tuple[str, str], list[Link]] = {}
    for link in job["links"]:
        forward, reverse = (
            _direction_text(direction, rtts[-1], job["mtu"], with_loss) for direction in (link["ab"], link["ba"])
        )
        if forward or reverse:
            alike.setdefault((forward, reverse), []).append(link)
    for (forward, reverse), links in alike.items():
        a, b = links[0]["a"], links[0]["b"]
        more = f" and {_count(len(links) - 1, 'more link')}" if len(links) > 1 else ""
        if forward == reverse:
            lines.append(f"{a} ↔ {b}{more}: {forward}")
        else:
            lines += [f"{a} → {b}{more}: {forward or 'unlimited'}", f"{b} → {a}{more}: {reverse or 'unlimited'}"]
    return tuple(lines)


def _direction_text(direction: Direction, longest_rtt_ns: int, mtu: int, with_loss: bool) -> str:
    rate_bps, queue, netem = direction["rate_bps"], direction["queue"], direction["netem"]
    parts = []
    if rate_bps is not None:
        parts.append(format_rate(rate_bps, 4) + (" on average (capacity file)" if direction["capacity"] else ""))
    if direction["lost_packets"]:
        parts.append(f"loss of {_count(len(direction['lost_packets']), 'listed packet')}")
    if netem is not None and netem["delay_ns"]:
        parts.append(f"delay {format_duration(netem['delay_ns'])}")
    if netem is not None and netem["jitter"]:
        parts.append(f"jitter {format_duration(netem['jitter']['spread_ns'])}")
    if netem is not None and netem["loss"] and with_loss:
        parts.append(f"loss {_loss_text(netem['loss'], mean_loss(netem))}")
    if netem is not None:
        parts += [f"{name} {format_percent(netem[name])}" for name in ("duplicate", "corrupt") if netem[name]]
    if netem is not None and netem["reorder"]:
        gap = f" with gap {netem['reorder']['gap']}" if netem["reorder"]["gap"] else ""
        parts.append(f"reorder {format_percent(netem['reorder']['probability'])}{gap}")
    if rate_bps is not None and queue is not None:
        packets = queue["limit_packets"]
        held = queue["limit_bytes"] or (packets or 0) * frame_bytes(mtu)
        limit = format_size(held) if packets is None else _count(packets, "packet")
        bdp = bdp_bytes(rate_bps, longest_rtt_ns)
        size = f" of {limit}" + (f" ({held / bdp:.3g} BDP)" if bdp else "") if held else ""
        parts.append(f"{queue['discipline']}{size}")
    if direction["changes"]:
        parts.append(_count(len(direction["changes"]), "scheduled change") + _down_text(direction))
    return ", ".join(parts)


def _down_text(direction: Direction) -> str:
    """Return when the schedule takes the link down, such as `` (down from 5 s to 8 s)``."""
    periods = [
        (since_ns, until_ns)
        for since_ns, until_ns, netem in netem_over_time(direction).spans(0, MAX_TIME_NS)
        if is_down(netem)
    ]
    shown = [
        f"down from {format_duration(since_ns)} "
        + (f"to {format_duration(until_ns)}" if until_ns < MAX_TIME_NS else "on")
        for since_ns, until_ns in periods[:_MAX_PERIODS]
    ]
    more = f" and {len(periods) - _MAX_PERIODS} more times" if len(periods) > _MAX_PERIODS else ""
    return f" ({', '.join(shown)}{more})" if shown else ""


def _loss_text(loss: Loss, mean: float) -> str:
    if loss["model"] == "random":
        return format_percent(mean)
    return f"{format_percent(mean, 3)} in bursts of {mean_burst(loss):.3g} packets, both on average ({loss['model']})"
