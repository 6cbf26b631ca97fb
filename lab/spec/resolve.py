# SPDX-License-Identifier: Apache-2.0
"""One cell's experiment and a trial's seed → a job: every value concrete, every default filled in.  Pure.

A job holds physics only.  Nothing in it names the experiment, the cell or the repetition, so that the same trial has
the same digest wherever it is declared.
"""

from __future__ import annotations

import hashlib
import json

from lab import protocol
from lab.spec.checks import flow_duration, hosts
from lab.spec.models import Dumbbell, Experiment, Queue
from lab.spec.sizes import base_rtt_ns, bdp_bytes, frame_bytes, queue_size, reverse_of

__all__ = ["derive", "netem_limit_packets", "resolve", "socket_buffer_bytes", "trial_seed"]

FIRST_PORT = 5201
"""iperf3's own; flows take it and those after it, in the order of the file."""

_MIN_SOCKET_BUFFER = 16 * 2**20
_MAX_SOCKET_BUFFER = 2**31 - 1

_MIN_NETEM_LIMIT = 1_000_000
_MAX_NETEM_LIMIT = 2**32 - 1
_MIN_FRAME_BYTES = 64


def derive(bits: int, *parts: str | int) -> int:
    """Return ``bits`` (at most 256) bits that depend on all of ``parts`` and on nothing else."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") >> (256 - bits)


def trial_seed(experiment_seed: int, repetition: int) -> int:
    """Return the seed of a repetition (from 1), below 2**63.

    All cells share it: what is compared meets the same draws in the same repetition (common random numbers), and the
    difference between two cells is not blurred by their luck.
    """
    return derive(63, "trial", experiment_seed, repetition)


def resolve(experiment: Experiment, seed: int) -> protocol.Job:
    """Return the job that runs one trial of a checked experiment, its matrix left aside."""
    flows = _flows(experiment, seed)
    return protocol.Job(
        format=protocol.PROTOCOL_FORMAT,
        seed=seed,
        ip=experiment.ip,
        duration_ns=max(flow["start_ns"] + flow["duration_ns"] for flow in flows),
        nodes=_nodes(experiment.topology),
        links=_links(experiment, seed),
        flows=flows,
        mtu=experiment.mtu,
        offloads=experiment.offloads,
        ecn=experiment.ecn,
        socket_buffer_bytes=socket_buffer_bytes(experiment),
        calibration=protocol.Calibration(ping_count=experiment.calibration.pings),
        collectors=experiment.collect.model_dump(by_alias=True, exclude_none=True),
    )


def socket_buffer_bytes(experiment: Experiment) -> int:
    """Return the largest TCP buffer: as declared, or large enough never to limit a flow.

    The kernel counts an skb's overhead too and halves the window for it (tcp_adv_win_scale), and slow start overshoots
    by a factor of two: hence eight times what the path can hold.
    """
    if experiment.socket_buffer != "auto":
        return experiment.socket_buffer
    bottleneck = experiment.topology.bottleneck
    rtt_ns = base_rtt_ns(experiment.topology)
    size = queue_size(bottleneck.queue, bottleneck.rate, rtt_ns, experiment.mtu)
    queued = size.limit_bytes or (size.limit_packets or 0) * frame_bytes(experiment.mtu)
    held = bdp_bytes(bottleneck.rate, rtt_ns) + queued
    return min(max(_MIN_SOCKET_BUFFER, 8 * held), _MAX_SOCKET_BUFFER)


def netem_limit_packets(rate_bps: int | None, delay_ns: int) -> int:
    """Return a delay line's capacity such that it never binds.

    Four times what a link of this rate can put into it with the smallest frames.  The kernel allocates nothing in
    advance, so that a large floor costs nothing and serves links without a rate too.
    """
    smallest = (rate_bps or 0) * delay_ns // (8 * 10**9 * _MIN_FRAME_BYTES)
    return min(max(_MIN_NETEM_LIMIT, 4 * smallest), _MAX_NETEM_LIMIT)


def _nodes(topology: Dumbbell) -> list[protocol.Node]:
    ends = [protocol.Node(name=name, role="host") for name in hosts(topology)]
    return [*ends, *(protocol.Node(name=name, role="router") for name in ("r1", "r2"))]


def _links(experiment: Experiment, seed: int) -> list[protocol.Link]:
    topology = experiment.topology
    pairs = range(1, topology.pairs + 1)
    left = [_access(experiment, f"s{number}", "r1", seed) for number in pairs]
    # Both written from left to right, so that `ab` is the way of the data in all links.
    right = [_access(experiment, "r2", f"d{number}", seed) for number in pairs]
    return [*left, _bottleneck(experiment, seed), *right]


def _access(experiment: Experiment, a: str, b: str, seed: int) -> protocol.Link:
    access = experiment.topology.access
    name = f"access-{a if b == 'r1' else b}"
    queue = access.queue or Queue()
    ab, ba = (
        _direction(experiment, access.rate, queue, access.delay, 0.0, derive_netem(seed, name, way))
        for way in ("ab", "ba")
    )
    return protocol.Link(name=name, a=a, b=b, ab=ab, ba=ba)


def _bottleneck(experiment: Experiment, seed: int) -> protocol.Link:
    forward = experiment.topology.bottleneck
    back = reverse_of(forward)
    name = "bottleneck"
    return protocol.Link(
        name=name,
        a="r1",
        b="r2",
        ab=_direction(
            experiment, forward.rate, forward.queue, forward.delay, forward.loss, derive_netem(seed, name, "ab")
        ),
        ba=_direction(experiment, back.rate_bps, back.queue, back.delay_ns, back.loss, derive_netem(seed, name, "ba")),
    )


def derive_netem(seed: int, link: str, way: str) -> int:
    """Return the seed of one direction's netem: 32 bits, not 0, which reads as "not set"."""
    return derive(32, "netem", seed, link, way) or 1


def _direction(
    experiment: Experiment, rate_bps: int | None, queue: Queue, delay_ns: int, loss: float, netem_seed: int
) -> protocol.Direction:
    netem = protocol.Netem(
        delay_ns=delay_ns, loss=loss, limit_packets=netem_limit_packets(rate_bps, delay_ns), seed=netem_seed
    )
    return protocol.Direction(
        rate_bps=rate_bps,
        queue=None if rate_bps is None else _queue(experiment, queue, rate_bps),
        netem=netem if delay_ns or loss else None,
    )


def _queue(experiment: Experiment, queue: Queue, rate_bps: int) -> protocol.Queue:
    size = queue_size(queue, rate_bps, base_rtt_ns(experiment.topology), experiment.mtu)
    return protocol.Queue(
        discipline=queue.discipline,
        limit_bytes=size.limit_bytes,
        limit_packets=size.limit_packets,
        parameters=dict(queue.parameters),
    )


def _flows(experiment: Experiment, seed: int) -> list[protocol.Flow]:
    flows = []
    for index, (name, flow) in enumerate(experiment.flows.items()):
        jitter_ns = (derive(64, "start", seed, name) * experiment.start_jitter) >> 64
        start_ns = flow.start + jitter_ns
        flows.append(
            protocol.Flow(
                name=name,
                group=name,
                source=flow.source,
                destination=flow.destination,
                congestion_control=flow.cc,
                port=FIRST_PORT + index,
                start_ns=start_ns,
                # The jitter moves the whole flow: what is measured lasts equally long in every repetition.
                duration_ns=flow_duration(experiment, flow),
            )
        )
    return flows
