# SPDX-License-Identifier: Apache-2.0
"""Check links: a queue holds a packet, a loss model is consistent, a schedule can be followed.  No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from lab.experiment.check.problems import Problem
from lab.experiment.resolve.graph import Edge, Graph
from lab.experiment.resolve.sizes import bdp_bytes, frame_bytes, queue_size
from lab.experiment.resolve.wires import Wire, laid_out, ramp_steps, round_trips, wires
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path
from lab.experiment.schema.links import FourState, ListedLoss, Loss, RandomLoss, Step
from lab.experiment.schema.topologies import Bottleneck
from lab.units import format_duration, format_rate, format_size

__all__ = ["links_problems"]

MAX_STEPS = 2000
"""The largest number of changes of one direction.  Each change runs ``tc`` on the guest's virtual processor."""

_MIN_STEP_NS = 10**6


def links_problems(experiment: Experiment, graph: Graph) -> Iterator[Problem]:
    """Yield the problems of the links in a valid network.

    A problem of a declaration from which several links are made is reported once.
    """
    rtts = round_trips(experiment)
    seen: set[tuple[Path, str]] = set()
    for edge in graph.edges:
        for problem in _edge(experiment, edge, rtts[edge.name]):
            if (problem.path, problem.message) not in seen:
                seen.add((problem.path, problem.message))
                yield problem


def _edge(experiment: Experiment, edge: Edge, rtt_ns: int) -> Iterator[Problem]:
    forward, backward = wires(edge, experiment.mtu)
    if isinstance(edge.link, Bottleneck) and forward.rate_bps is None:
        yield Problem(edge.place, "'rate' is missing (such as 20mbit; or a 'capacity' file)", "key")
        return
    if edge.link.queue is not None and forward.rate_bps is None and backward.rate_bps is None:
        yield _without_rate((*edge.place, "queue"))
    if edge.link.reverse.queue is not None and backward.rate_bps is None:
        yield _without_rate((*edge.place, "reverse", "queue"))
    yield from _with_capacity(forward.place, edge.link.rate, forward)
    yield from _with_capacity(backward.place, edge.link.reverse.rate, backward)
    for wire in (forward, backward):
        yield from _wire(wire, rtt_ns, experiment)


def _without_rate(here: Path) -> Problem:
    parts = ".".join(str(part) for part in here[:-1][-1:])
    return Problem(here, f"found a queue without a rate; expected {parts}.rate as well", "key")


def _with_capacity(here: Path, rate: int | None, wire: Wire) -> Iterator[Problem]:
    if wire.capacity is None:
        return
    if rate is not None:
        message = "found a capacity file together with a rate; expected only one of them"
        yield Problem((*here, "capacity"), message, "key")
    if wire.queue is not None and wire.queue.discipline not in ("bfifo", "pfifo"):
        message = f"found {wire.queue.discipline} on a link with a capacity file; expected bfifo or pfifo"
        yield Problem((*wire.queue_place, "discipline"), message)
    if any(step.rate is not None or step.queue is not None for step in wire.steps):
        message = "found changes of rate or queue together with a capacity file; expected only one of them"
        yield Problem((*here, "schedule"), message, "key")


def _wire(wire: Wire, rtt_ns: int, experiment: Experiment) -> Iterator[Problem]:
    yield from _queue(wire, wire.queue_place, rtt_ns, experiment.mtu)
    yield from _loss((*wire.place, "loss"), wire.loss)
    yield from _order(wire.place, wire)
    yield from _schedule(wire, rtt_ns, experiment)


def _queue(wire: Wire, here: Path, rtt_ns: int, mtu: int) -> Iterator[Problem]:
    queue, rate_bps = wire.queue, wire.rate_bps
    if queue is None or rate_bps is None:
        return
    for parameter in ("limit", "memlimit"):
        if parameter in queue.parameters:
            message = f"found {parameter}; expected the queue's own field 'limit' instead"
            yield Problem((*here, "parameters", parameter), message, "key")
    if queue.discipline == "cake" and "bandwidth" in queue.parameters:
        message = "found bandwidth; expected the link's field 'rate' instead"
        yield Problem((*here, "parameters", "bandwidth"), message, "key")
    size = queue_size(queue, rate_bps, rtt_ns, mtu)
    packet = frame_bytes(mtu)
    if size.limit_packets == 0 or (size.limit_bytes is not None and size.limit_bytes < packet):
        bdp = f"the BDP is {format_size(bdp_bytes(rate_bps, rtt_ns))}" if rtt_ns else "without delay the BDP is 0"
        yield Problem(
            (*here, "limit"),
            f"found {queue.limit or '1 BDP'}, which at {format_rate(rate_bps)} is less than one packet "
            f"({packet} B with its Ethernet header); expected more ({bdp})",
        )


def _loss(here: Path, loss: Loss) -> Iterator[Problem]:
    if isinstance(loss, FourState):
        for first, second in (("p13", "p14"), ("p31", "p32")):
            total = getattr(loss, first) + getattr(loss, second)
            if total > 1:
                message = f"found {first} + {second} = {total:g}; expected at most 1, because both leave the same state"
                yield Problem((*here, first), message)


def _order(here: Path, wire: Wire) -> Iterator[Problem]:
    if wire.reorder is not None and not wire.delay_ns:
        message = "found reordering without a delay; expected a delay, because reordered packets overtake delayed ones"
        yield Problem((*here, "reorder"), message, "key")
    if wire.reorder is not None and wire.jitter is not None and wire.jitter.keep_order:
        message = "found reordering together with keep_order; expected only one of them"
        yield Problem((*here, "jitter", "keep_order"), message)


def _schedule(wire: Wire, rtt_ns: int, experiment: Experiment) -> Iterator[Problem]:
    end = experiment.duration
    free_from = 0
    for index, step in enumerate(wire.steps):
        here: Path = (*wire.place, "schedule", index)
        if step.at < free_from:
            message = f"found {format_duration(step.at)}; expected at least {format_duration(free_from)}, "
            yield Problem((*here, "at"), message + "when the previous change ends")
        until = step.at + (step.over or 0)
        if until > end:
            message = f"found a change that ends at {format_duration(until)}; expected an end within the "
            message += f"experiment's duration, {format_duration(end)}"
            yield Problem((*here, "over" if step.over else "at"), message)
        free_from = until
        yield from _step(wire, here, step)
    if sum(map(ramp_steps, wire.steps)) > MAX_STEPS:
        message = f"found {sum(map(ramp_steps, wire.steps))} changes; expected at most {MAX_STEPS}"
        yield Problem((*wire.place, "schedule"), message, "key")
        return
    kinds = {jitter.distribution for jitter in (wire.jitter, *(step.jitter for step in wire.steps)) if jitter}
    if len(kinds) > 1:
        message = (
            f"found jitter of different distributions ({', '.join(sorted(kinds))}); "
            "expected only one, because netem keeps its distribution"
        )
        yield Problem((*wire.place, "schedule"), message, "key")
    for _at, state in laid_out(wire):
        found = [*_queue(state, (*wire.place, "schedule"), rtt_ns, experiment.mtu)]
        yield from found[:1]
        if found:
            break


_CHANGES = ("rate", "delay", "loss", "jitter", "duplicate", "corrupt", "reorder", "queue")


def _step(wire: Wire, here: Path, step: Step) -> Iterator[Problem]:
    if all(getattr(step, name) is None for name in _CHANGES):
        yield Problem(here, f"found a step that changes nothing; expected at least one of {', '.join(_CHANGES)}", "key")
    for name in ("rate", "queue"):
        if getattr(step, name) is not None and wire.rate_bps is None:
            yield Problem(
                (*here, name), f"found a {name} where the link has no rate; expected the link's 'rate' as well"
            )
    named = step.queue is not None and "discipline" in step.queue.model_fields_set
    if named and step.queue and wire.queue is not None and step.queue.discipline != wire.queue.discipline:
        message = f"found {step.queue.discipline}; expected {wire.queue.discipline}, the discipline of the link's queue"
        yield Problem((*here, "queue", "discipline"), message)
    if step.every is not None and step.over is None:
        message = "found 'every' without 'over'; expected 'over' as well: how long the ramp takes"
        yield Problem((*here, "every"), message, "key")
    if step.over is not None:
        if step.every is not None and (step.every > step.over or step.every < _MIN_STEP_NS):
            message = (
                f"found {format_duration(step.every)}; expected a duration from 1 ms to that of the ramp ('over'), "
            )
            yield Problem((*here, "every"), message + format_duration(step.over))
        if step.rate is None and step.delay is None and not isinstance(step.loss, RandomLoss):
            message = "found a ramp without a value that it could change; expected a rate, a delay or a random loss"
            yield Problem((*here, "over"), message, "key")
    if isinstance(step.loss, ListedLoss):
        yield Problem((*here, "loss", "model"), "found the loss model 'list' in a schedule; expected another model")
    if step.loss is not None:
        yield from _loss((*here, "loss"), step.loss)
