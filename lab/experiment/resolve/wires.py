# SPDX-License-Identifier: Apache-2.0
"""Resolve the links of an experiment for the agent: both directions, queue limits, schedules.  No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from lab.experiment.resolve.graph import Edge, Graph, graph_of
from lab.experiment.resolve.paths import route
from lab.experiment.resolve.remember import remembering_last
from lab.experiment.resolve.sizes import frame_bytes, queue_size
from lab.experiment.resolve.traffic import connections
from lab.experiment.schema.capacity import DeliveryOpportunities
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path
from lab.experiment.schema.links import Jitter, ListedLoss, Loss, Queue, RandomLoss, Reorder, ScheduledRandomLoss, Step
from lab.job import protocol
from lab.job.network import NoRouteError

__all__ = [
    "Wire",
    "bare_job",
    "derive",
    "derive_netem",
    "laid_out",
    "links",
    "netem_limit_packets",
    "ramp_steps",
    "round_trips",
    "wires",
]

_MIN_NETEM_LIMIT = 1_000_000
_MAX_NETEM_LIMIT = 2**32 - 1
_MIN_FRAME_BYTES = 64

RAMP_STEPS = 20
"""The number of changes in a ramp that does not say how often it changes."""


@dataclass(frozen=True)
class Wire:
    """One direction of a link, with all defaults filled in."""

    rate_bps: int | None
    queue: Queue | None
    delay_ns: int
    loss: Loss
    jitter: Jitter | None
    duplicate: float
    corrupt: float
    reorder: Reorder | None
    steps: tuple[Step, ...]
    capacity: DeliveryOpportunities | None
    place: Path
    """The path of the field that declares this direction."""
    queue_place: Path
    """The path of the field that declares the queue of this direction."""


def wires(edge: Edge, mtu: int) -> tuple[Wire, Wire]:
    """Return both directions of a link: from *a* to *b*, and from *b* to *a*."""
    link, reverse = edge.link, edge.link.reverse
    forward_rate = link.rate if link.capacity is None else link.capacity.rate_bps(frame_bytes(mtu))
    forward = Wire(
        rate_bps=forward_rate,
        queue=_queue(link.queue, forward_rate),
        delay_ns=link.delay,
        loss=link.loss,
        jitter=link.jitter,
        duplicate=link.duplicate,
        corrupt=link.corrupt,
        reorder=link.reorder,
        steps=tuple(link.schedule),
        capacity=link.capacity,
        place=edge.place,
        queue_place=(*edge.place, "queue"),
    )
    rate = link.rate if reverse.rate is None else reverse.rate
    rate = rate if reverse.capacity is None else reverse.capacity.rate_bps(frame_bytes(mtu))
    backward = Wire(
        rate_bps=rate,
        queue=_queue(link.queue if reverse.queue is None else reverse.queue, rate),
        delay_ns=link.delay if reverse.delay is None else reverse.delay,
        loss=reverse.loss,
        jitter=reverse.jitter,
        duplicate=reverse.duplicate,
        corrupt=reverse.corrupt,
        reorder=reverse.reorder,
        steps=tuple(reverse.schedule),
        capacity=reverse.capacity,
        place=(*edge.place, "reverse"),
        queue_place=(*edge.place, "reverse", "queue") if reverse.queue or reverse.rate else (*edge.place, "queue"),
    )
    return forward, backward


def _queue(queue: Queue | None, rate_bps: int | None) -> Queue | None:
    return None if rate_bps is None else queue or Queue()


def derive(bits: int, *parts: str | int) -> int:
    """Return a pseudo-random integer of ``bits`` bits (at most 256), derived by SHA-256 from ``parts`` alone."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") >> (256 - bits)


@lru_cache(maxsize=4096)
def derive_netem(seed: int, link: str, way: str) -> int:
    """Return the 32-bit seed of the netem of one direction of a link; it is never 0, which would mean "not set".

    ``way`` is the direction: ``ab`` or ``ba``.
    """
    return derive(32, "netem", seed, link, way) or 1


def netem_limit_packets(rate_bps: int | None, delay_ns: int) -> int:
    """Return a limit for the netem that delays packets, large enough that netem never drops a packet because of it.

    The limit is four times the number of packets that a link of this rate can have in flight with the smallest frames.
    The kernel allocates no memory in advance; therefore a large minimum costs nothing, and it also serves links
    without a rate.
    """
    smallest = (rate_bps or 0) * delay_ns // (8 * 10**9 * _MIN_FRAME_BYTES)
    return min(max(_MIN_NETEM_LIMIT, 4 * smallest), _MAX_NETEM_LIMIT)


def round_trips(experiment: Experiment) -> Mapping[str, int]:
    """Return, for each link, the largest base RTT of the flows that cross it, in nanoseconds.

    The base RTT is the sum of the declared delays, without queueing and serialisation delay.  A link that no flow
    crosses has the sum of the delays of its own two directions.
    """
    return _wires_and_round_trips(experiment)[1]


@remembering_last
def _wires_and_round_trips(experiment: Experiment) -> tuple[Mapping[str, tuple[Wire, Wire]], Mapping[str, int]]:
    """Return the two directions of each link by its name, and what :func:`round_trips` returns."""
    graph = graph_of(experiment.topology)
    both = {edge.name: wires(edge, experiment.mtu) for edge in graph.edges}
    network = bare_job(graph)
    found = {edge.name: 0 for edge in graph.edges}
    for source, destination in dict.fromkeys(
        (connection.source, connection.destination) for connection in connections(experiment.flows, experiment.duration)
    ):
        try:
            hops = (*route(network, source, destination), *route(network, destination, source))
        except NoRouteError:
            continue
        rtt = sum(hop.direction["netem"]["delay_ns"] for hop in hops if hop.direction["netem"])
        for hop in hops:
            found[hop.link] = max(found[hop.link], rtt)
    for name, (forward, backward) in both.items():
        found[name] = found[name] or forward.delay_ns + backward.delay_ns
    return both, found


def bare_job(graph: Graph) -> protocol.Network:
    """Return the network with the delays of its links and nothing else, which is enough to compute routes and RTTs."""
    return protocol.Network(nodes=list(graph.nodes), links=[_bare(edge) for edge in graph.edges])


def _bare(edge: Edge) -> protocol.Link:
    """Return a link with its delays and nothing else."""
    ab, ba = (
        protocol.Direction(
            rate_bps=None,
            queue=None,
            netem=protocol.Netem(
                delay_ns=delay_ns,
                jitter=None,
                loss=None,
                duplicate=0.0,
                corrupt=0.0,
                reorder=None,
                limit_packets=_MIN_NETEM_LIMIT,
                seed=1,
            )
            if delay_ns
            else None,
            changes=[],
            capacity=None,
            lost_packets=[],
        )
        for delay_ns in (
            edge.link.delay,
            edge.link.delay if edge.link.reverse.delay is None else edge.link.reverse.delay,
        )
    )
    return protocol.Link(name=edge.name, a=edge.a, b=edge.b, ab=ab, ba=ba)


def links(experiment: Experiment, seed: int) -> list[protocol.Link]:
    """Return the links of a checked experiment as the agent builds them; ``seed`` is the seed of the trial."""
    both, rtts = _wires_and_round_trips(experiment)
    found = []
    for edge in graph_of(experiment.topology).edges:
        ab, ba = (
            _direction(wire, derive_netem(seed, edge.name, way), rtts[edge.name], experiment.mtu)
            for way, wire in zip(("ab", "ba"), both[edge.name], strict=True)
        )
        found.append(protocol.Link(name=edge.name, a=edge.a, b=edge.b, ab=ab, ba=ba))
    return found


def _direction(wire: Wire, seed: int, rtt_ns: int, mtu: int) -> protocol.Direction:
    states = list(laid_out(wire))
    # netem is installed from the start if the direction needs it then or after any change of its schedule.
    needs_netem = any(_netem(state, seed) for _at, state in states)
    longest = max([wire.delay_ns, *(state.delay_ns for _at, state in states)])
    fastest = max([wire.rate_bps or 0, *(state.rate_bps or 0 for _at, state in states)]) or None
    limit = netem_limit_packets(fastest, longest)
    changes = []
    before = wire
    for number, (at_ns, state) in enumerate(states, 1):
        rate_changes = (state.rate_bps, state.queue) != (before.rate_bps, before.queue)
        netem_changes = _netem(state, seed) != _netem(before, seed)
        changes.append(
            protocol.Change(
                at_ns=at_ns,
                rate_bps=state.rate_bps if rate_changes else None,
                queue=_sized(state, rtt_ns, mtu) if rate_changes else None,
                # A change restarts netem's random number generator.  Each change has its own seed, because with the
                # same seed netem would repeat the same random numbers.
                netem=_netem(state, derive_netem(seed, "change", str(number)), limit, needed=True)
                if netem_changes
                else None,
            )
        )
        before = state
    return protocol.Direction(
        rate_bps=wire.rate_bps,
        queue=_sized(wire, rtt_ns, mtu),
        netem=_netem(wire, seed, limit, needed=needs_netem),
        changes=changes,
        capacity=None if wire.capacity is None else wire.capacity.as_protocol(frame_bytes(mtu)),
        lost_packets=sorted(set(wire.loss.packets)) if isinstance(wire.loss, ListedLoss) else [],
    )


def _sized(wire: Wire, rtt_ns: int, mtu: int) -> protocol.Queue | None:
    if wire.rate_bps is None or wire.queue is None:
        return None
    size = queue_size(wire.queue, wire.rate_bps, rtt_ns, mtu)
    parameters: dict[str, str | int | bool] = dict(wire.queue.parameters)
    if wire.queue.discipline == "red":
        # tc requires avpkt, and without bandwidth it assumes 10 Mbit/s.
        parameters = {"avpkt": 1000, "bandwidth": f"{wire.rate_bps}bit", **parameters}
    if wire.queue.discipline == "fq" and wire.queue.limit is not None and size.limit_packets is not None:
        # Without flow_limit, fq would hold at most 100 packets of each flow, whatever limit is declared.
        parameters = {"flow_limit": size.limit_packets, **parameters}
    return protocol.Queue(
        discipline=wire.queue.discipline,
        limit_bytes=size.limit_bytes,
        limit_packets=size.limit_packets,
        parameters=parameters,
    )


def _netem(wire: Wire, seed: int, limit: int = 0, *, needed: bool = False) -> protocol.Netem | None:
    loss = _loss(wire.loss)
    if not (needed or wire.delay_ns or loss or wire.jitter or wire.duplicate or wire.corrupt or wire.reorder):
        return None
    return protocol.Netem(
        delay_ns=wire.delay_ns,
        jitter=_jitter(wire.jitter),
        loss=loss,
        # netem loses only one of two copies, and would let the other one pass a link that is down.
        duplicate=0.0 if _is_down(loss) else wire.duplicate,
        corrupt=wire.corrupt,
        reorder=_reorder(wire.reorder),
        limit_packets=limit or netem_limit_packets(wire.rate_bps, wire.delay_ns),
        seed=seed,
    )


def _is_down(loss: protocol.Loss | None) -> bool:
    return loss is not None and loss["model"] == "random" and loss["values"][0] == 1


def _loss(loss: Loss) -> protocol.Loss | None:
    if isinstance(loss, ListedLoss):
        return None
    if isinstance(loss, RandomLoss):
        if not loss.probability:
            return None
        correlation = [loss.correlation] if loss.correlation else []
        return protocol.Loss(model="random", values=[loss.probability, *correlation])
    if loss.model == "gemodel":
        return protocol.Loss(model="gemodel", values=[loss.p, loss.r, loss.bad_loss, loss.good_loss])
    return protocol.Loss(model="state", values=[loss.p13, loss.p31, loss.p32, loss.p23, loss.p14])


def _jitter(jitter: Jitter | None) -> protocol.Jitter | None:
    if jitter is None:
        return None
    return protocol.Jitter(
        spread_ns=jitter.spread,
        distribution=jitter.distribution,
        correlation=jitter.correlation,
        keep_order=jitter.keep_order,
    )


def _reorder(reorder: Reorder | None) -> protocol.Reorder | None:
    if reorder is None:
        return None
    return protocol.Reorder(probability=reorder.probability, correlation=reorder.correlation, gap=reorder.gap)


def laid_out(wire: Wire) -> Iterator[tuple[int, Wire]]:
    """Yield the time of each change in a direction's schedule, in nanoseconds, and the direction after the change."""
    now = wire
    for step in wire.steps:
        target = replace(
            now,
            rate_bps=now.rate_bps if step.rate is None else step.rate,
            delay_ns=now.delay_ns if step.delay is None else step.delay,
            loss=now.loss if step.loss is None else step.loss,
            jitter=now.jitter if step.jitter is None else step.jitter,
            duplicate=now.duplicate if step.duplicate is None else step.duplicate,
            corrupt=now.corrupt if step.corrupt is None else step.corrupt,
            reorder=now.reorder if step.reorder is None else step.reorder,
            queue=_changed(now.queue, step.queue),
        )
        if step.over is not None:
            yield from _ramp(now, target, step)
        else:
            yield step.at, target
        now = target


def _changed(queue: Queue | None, step: Queue | None) -> Queue | None:
    """Return the queue with the fields that a step of the schedule sets."""
    if queue is None or step is None:
        return queue
    return queue.model_copy(update={name: getattr(step, name) for name in step.model_fields_set})


def ramp_steps(step: Step) -> int:
    """Return the number of changes that a step of a schedule makes: one, or several for a ramp."""
    if step.over is None:
        return 1
    return max(1, step.over // step.every) if step.every is not None else RAMP_STEPS


def _ramp(start: Wire, target: Wire, step: Step) -> Iterator[tuple[int, Wire]]:
    """Yield the changes of a ramp.

    The first change is one step away from *start*; the last one, at the end of the ramp, is *target*.
    """
    steps, over = ramp_steps(step), step.over or 0
    for number in range(1, steps + 1):
        part = number / steps
        state = target if number == steps else replace(target, delay_ns=_between(start.delay_ns, target.delay_ns, part))
        if number < steps and start.rate_bps is not None and target.rate_bps is not None:
            # The rate is rounded to whole bytes per second, because tc passes it to the kernel in this unit.
            state = replace(state, rate_bps=_between(start.rate_bps // 8, target.rate_bps // 8, part) * 8)
        if number < steps and isinstance(start.loss, RandomLoss) and isinstance(target.loss, RandomLoss):
            probability = start.loss.probability + (target.loss.probability - start.loss.probability) * part
            state = replace(state, loss=ScheduledRandomLoss(model="random", probability=probability))
        yield step.at + over * number // steps, state


def _between(start: int, end: int, part: float) -> int:
    return start + round((end - start) * part)
