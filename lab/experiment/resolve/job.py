# SPDX-License-Identifier: Apache-2.0
"""Turn one cell's experiment and a trial's seed into a job, in which all values are concrete.  This module does no I/O.

A job contains only what affects the measurement.  It does not name the experiment, the cell or the repetition, so that
the same trial has the same digest in all experiments.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from lab.experiment.resolve.graph import graph_of
from lab.experiment.resolve.hosts import with_settings
from lab.experiment.resolve.measure import measured
from lab.experiment.resolve.memory import socket_buffer_bytes
from lab.experiment.resolve.traffic import Connection, connections
from lab.experiment.resolve.wires import derive, links
from lab.experiment.schema.amounts import draw
from lab.experiment.schema.congestion import OwnAlgorithm, algorithm_name
from lab.experiment.schema.experiment import Experiment
from lab.job import kernels, protocol

__all__ = ["resolve", "trial_seed"]

FIRST_PORT = 5201
"""The port of the first flow, which is iperf3's default; each further flow in the file has the next port."""
FIRST_PROBE_PORT = 8201
"""The port of the first latency probe; each further probe in the file has the next port."""


def trial_seed(experiment_seed: int, repetition: int) -> int:
    """Return the seed of a repetition (counted from 1), a number below 2**63.

    All cells share the seed of a repetition, so that they meet the same random numbers ("common random numbers").  This
    reduces the variance of the differences between cells.
    """
    return derive(63, "trial", experiment_seed, repetition)


def resolve(experiment: Experiment, seed: int) -> protocol.Job:
    """Return the job of one trial of a checked experiment, which has no matrix."""
    flows = _flows(experiment, seed)
    built = links(experiment, seed)
    job = protocol.Job(
        format=protocol.PROTOCOL_FORMAT,
        kernel=experiment.kernel or kernels.default_of(experiment.engine),
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
        bin_ns=experiment.bin_width,
        calibration=protocol.Calibration(ping_count=experiment.calibration.pings),
        collectors=experiment.collect.model_dump(by_alias=True, exclude_none=True),
    )
    own = {flow.cc.name: flow.cc for flow in experiment.flows.values() if isinstance(flow.cc, OwnAlgorithm)}
    if own:
        job["algorithms"] = [_algorithm(one) for _name, one in sorted(own.items())]
    return job


def _algorithm(own: OwnAlgorithm) -> protocol.Algorithm:
    algorithm = protocol.Algorithm(name=own.name, source_sha256=own.source_sha256, object=own.object)
    if own.is_module:
        algorithm["form"] = "module source"
    return algorithm


def _flows(experiment: Experiment, seed: int) -> list[protocol.Flow]:
    flows = []
    for index, connection in enumerate(connections(experiment.flows, experiment.duration)):
        flow = connection.flow
        jitter_ns = (derive(64, "start", seed, connection.name) * experiment.start_jitter) >> 64
        start_ns = connection.start_ns + jitter_ns
        flows.append(
            protocol.Flow(
                name=connection.name,
                group=connection.group,
                source=connection.source,
                destination=connection.destination,
                initiator=connection.initiator,
                protocol=flow.protocol,
                congestion_control=algorithm_name(flow.cc) if flow.protocol == "tcp" else flow.protocol,
                port=FIRST_PORT + index,
                start_ns=start_ns,
                # The jitter shifts the flow as a whole, so that it lasts equally long in all repetitions.
                duration_ns=connection.duration_ns,
                limit_bytes=_amount(connection, seed),
                rate_bps=flow.rate,
                message_bytes=flow.message,
                mss_bytes=flow.mss,
                pacing_bps=flow.pacing,
                arrivals=_arrivals(connection, seed, jitter_ns),
                measured=measured(experiment, flow, start_ns, start_ns + connection.duration_ns),
            )
        )
    return flows


def _amount(connection: Connection, seed: int) -> int | None:
    amount = connection.flow.amount
    if amount is None or connection.flow.arrivals is not None:
        return None
    return draw(amount, [_uniform("amount", seed, connection.name)])[0]


def _arrivals(connection: Connection, seed: int, jitter_ns: int) -> protocol.Arrivals | None:
    """Draw the start times and sizes of short flows; they are the same in all cells of a repetition."""
    arrivals, amount = connection.flow.arrivals, connection.flow.amount
    if arrivals is None or amount is None:
        return None
    times = []
    for after_ns in _poisson(connection, seed) if arrivals.process == "poisson" else _evenly(arrivals.per_second):
        if after_ns >= connection.duration_ns:
            break
        times.append(connection.start_ns + jitter_ns + after_ns)
    uniform = [_uniform("size", seed, connection.name, number) for number in range(len(times))]
    return protocol.Arrivals(at_ns=times, bytes=draw(amount, uniform))


def _poisson(connection: Connection, seed: int) -> Iterator[int]:
    assert connection.flow.arrivals is not None
    passed_s = 0.0
    for number in itertools.count():
        gap = -math.log(_uniform("arrival", seed, connection.name, number)) / connection.flow.arrivals.per_second
        passed_s += gap
        yield round(passed_s * 1e9)


def _evenly(per_second: float) -> Iterator[int]:
    return (round(number / per_second * 1e9) for number in itertools.count())


def _uniform(*of: str | int) -> float:
    """Return a pseudo-random number in the open interval (0, 1) that depends on the arguments alone."""
    return (derive(52, *of) + 0.5) / 2**52


def _probes(experiment: Experiment) -> list[protocol.Probe]:
    probes = []
    for number, (name, probe) in enumerate(experiment.probes.items()):
        duration_ns = experiment.duration - probe.start if probe.duration is None else probe.duration
        probes.append(
            protocol.Probe(
                name=name,
                kind=probe.kind,
                source=probe.source,
                destination=probe.destination,
                port=0 if probe.kind == "ping" else FIRST_PROBE_PORT + number,
                interval_ns=probe.interval,
                start_ns=probe.start,
                duration_ns=duration_ns,
                request_bytes=probe.request,
                response_bytes=probe.response,
                measured=measured(experiment, probe, probe.start, probe.start + duration_ns),
            )
        )
    return probes
