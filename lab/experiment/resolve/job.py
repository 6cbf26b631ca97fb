# SPDX-License-Identifier: Apache-2.0
"""One cell's experiment and a trial's seed → a job: every value concrete, every default filled in.  Pure.

A job holds physics only.  Nothing in it names the experiment, the cell or the repetition, so that the same trial has
the same digest wherever it is declared.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from lab.experiment.resolve.graph import graph_of
from lab.experiment.resolve.hosts import with_settings
from lab.experiment.resolve.sizes import bdp_bytes, frame_bytes
from lab.experiment.resolve.traffic import Connection, connections
from lab.experiment.resolve.wires import derive, links, round_trips
from lab.experiment.schema.amounts import draw
from lab.experiment.schema.experiment import Experiment
from lab.job import protocol

__all__ = ["resolve", "socket_buffer_bytes", "trial_seed"]

FIRST_PORT = 5201
"""iperf3's own; flows take it and those after it, in the order of the file."""
FIRST_PROBE_PORT = 8201

_MIN_SOCKET_BUFFER = 16 * 2**20
_MAX_SOCKET_BUFFER = 2**31 - 1


def trial_seed(experiment_seed: int, repetition: int) -> int:
    """Return the seed of a repetition (from 1), below 2**63.

    All cells share it: what is compared meets the same draws in the same repetition (common random numbers), and the
    difference between two cells is not blurred by their luck.
    """
    return derive(63, "trial", experiment_seed, repetition)


def resolve(experiment: Experiment, seed: int) -> protocol.Job:
    """Return the job that runs one trial of a checked experiment, its matrix left aside."""
    flows = _flows(experiment, seed)
    built = links(experiment, seed)
    return protocol.Job(
        format=protocol.PROTOCOL_FORMAT,
        kernel=experiment.kernel,
        seed=seed,
        ip=experiment.ip,
        duration_ns=max(flow["start_ns"] + flow["duration_ns"] for flow in flows),
        nodes=with_settings(graph_of(experiment.topology).nodes, experiment.hosts),
        links=built,
        flows=flows,
        probes=_probes(experiment),
        mtu=experiment.mtu,
        offloads=experiment.offloads,
        ecn=experiment.ecn,
        congestion_control_parameters={name: dict(values) for name, values in experiment.modules.items()},
        socket_buffer_bytes=socket_buffer_bytes(experiment, built),
        calibration=protocol.Calibration(ping_count=experiment.calibration.pings),
        collectors=experiment.collect.model_dump(by_alias=True, exclude_none=True),
    )


def socket_buffer_bytes(experiment: Experiment, links: list[protocol.Link]) -> int:
    """Return the largest TCP buffer: as declared, or large enough never to limit a flow.

    The kernel counts an skb's overhead too and halves the window for it (tcp_adv_win_scale), and slow start overshoots
    by a factor of two: hence eight times what the path can hold at most.
    """
    if experiment.socket_buffer != "auto":
        return experiment.socket_buffer
    rtts = round_trips(experiment, graph_of(experiment.topology))
    held = [
        _held_bytes(state["rate_bps"], state["queue"], rtts[link["name"]], experiment.mtu)
        for link in links
        for way in (link["ab"], link["ba"])
        for state in (way, *way["changes"])
    ]
    return min(max(_MIN_SOCKET_BUFFER, 8 * max(held)), _MAX_SOCKET_BUFFER)


def _held_bytes(rate_bps: int | None, queue: protocol.Queue | None, rtt_ns: int, mtu: int) -> int:
    """What a path of this bottleneck holds: its BDP and its queue."""
    if rate_bps is None or queue is None:
        return 0
    queued = queue["limit_bytes"] or (queue["limit_packets"] or 0) * frame_bytes(mtu)
    return bdp_bytes(rate_bps, rtt_ns) + queued


def _flows(experiment: Experiment, seed: int) -> list[protocol.Flow]:
    flows = []
    for index, one in enumerate(connections(experiment.flows, experiment.duration)):
        jitter_ns = (derive(64, "start", seed, one.name) * experiment.start_jitter) >> 64
        flows.append(
            protocol.Flow(
                name=one.name,
                group=one.group,
                source=one.source,
                destination=one.destination,
                initiator=one.initiator,
                protocol=one.flow.protocol,
                congestion_control=one.flow.cc if one.flow.protocol == "tcp" else one.flow.protocol,
                port=FIRST_PORT + index,
                start_ns=one.start_ns + jitter_ns,
                # The jitter moves the whole flow: what is measured lasts equally long in every repetition.
                duration_ns=one.duration_ns,
                limit_bytes=_amount(one, seed),
                rate_bps=one.flow.rate,
                message_bytes=one.flow.message,
                mss_bytes=one.flow.mss,
                pacing_bps=one.flow.pacing,
                arrivals=_arrivals(one, seed, jitter_ns),
            )
        )
    return flows


def _amount(one: Connection, seed: int) -> int | None:
    if one.flow.amount is None or one.flow.arrivals is not None:
        return None
    return draw(one.flow.amount, [_uniform("amount", seed, one.name)])[0]


def _arrivals(one: Connection, seed: int, jitter_ns: int) -> protocol.Arrivals | None:
    """Draw when short flows begin and how much they send: the same in all cells of a repetition."""
    arrivals = one.flow.arrivals
    if arrivals is None or one.flow.amount is None:
        return None
    times = []
    for after_ns in _poisson(one, seed) if arrivals.process == "poisson" else _evenly(arrivals.per_second):
        if after_ns >= one.duration_ns:
            break
        times.append(one.start_ns + jitter_ns + after_ns)
    uniform = [_uniform("size", seed, one.name, number) for number in range(len(times))]
    return protocol.Arrivals(at_ns=times, bytes=draw(one.flow.amount, uniform))


def _poisson(one: Connection, seed: int) -> Iterator[int]:
    assert one.flow.arrivals is not None
    passed_s = 0.0
    for number in itertools.count():
        passed_s -= math.log(_uniform("arrival", seed, one.name, number)) / one.flow.arrivals.per_second
        yield round(passed_s * 1e9)


def _evenly(per_second: float) -> Iterator[int]:
    return (round(number / per_second * 1e9) for number in itertools.count())


def _uniform(*of: str | int) -> float:
    """Return a number in (0, 1)."""
    return (derive(52, *of) + 0.5) / 2**52


def _probes(experiment: Experiment) -> list[protocol.Probe]:
    return [
        protocol.Probe(
            name=name,
            kind=probe.kind,
            source=probe.source,
            destination=probe.destination,
            port=0 if probe.kind == "ping" else FIRST_PROBE_PORT + number,
            interval_ns=probe.interval,
            start_ns=probe.start,
            duration_ns=experiment.duration - probe.start if probe.duration is None else probe.duration,
            request_bytes=probe.request,
            response_bytes=probe.response,
        )
        for number, (name, probe) in enumerate(experiment.probes.items())
    ]
