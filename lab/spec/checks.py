# SPDX-License-Identifier: Apache-2.0
"""What must hold between the fields of one cell's experiment (its matrix left aside).  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from lab.spec.collect import Drops, Selection, Window
from lab.spec.fields import Path
from lab.spec.models import Dumbbell, Experiment, Flow, Queue
from lab.spec.problems import Problem, nearest
from lab.spec.sizes import base_rtt_ns, bdp_bytes, frame_bytes, queue_size, reverse_of
from lab.units import format_duration, format_rate, format_size, show

__all__ = ["check", "hosts"]

_SECOND_NS = 10**9
_IPV6_MIN_MTU = 1280  # RFC 8200, section 5

_BOTTLENECK: Path = ("topology", "bottleneck")
_ACCESS: Path = ("topology", "access")


def hosts(topology: Dumbbell) -> list[str]:
    """Return the names of the hosts: senders, then receivers."""
    return [f"{side}{number}" for side in "sd" for number in range(1, topology.pairs + 1)]


def check(experiment: Experiment) -> list[Problem]:
    """Return everything that does not fit together; the message of each says what was found and what is allowed."""
    return [*_flows(experiment), *_queues(experiment), *_path(experiment), *_collect(experiment)]


def _flows(experiment: Experiment) -> Iterator[Problem]:
    known = hosts(experiment.topology)
    for name, flow in experiment.flows.items():
        here: Path = ("flows", name)
        for key, host in (("from", flow.source), ("to", flow.destination)):
            if host not in known:
                yield Problem((*here, key), _unknown_host(host, known, experiment.topology.pairs))
        if flow.source == flow.destination:
            yield Problem((*here, "to"), f"found {show(flow.destination)}; expected another host than 'from'")
        yield from _times(experiment, name)


def _unknown_host(host: str, known: list[str], pairs: int) -> str:
    last = "" if pairs == 1 else f" to s{pairs} and d1 to d{pairs}"
    allowed = "s1 or d1" if pairs == 1 else f"s1{last}"
    close = nearest(host, known)
    return f"found {show(host)}; expected a host, {allowed}" + (f"; did you mean '{close}'?" if close else "")


def flow_duration(experiment: Experiment, flow: Flow) -> int:
    """Return how long a flow sends, in ns: as declared, or from its start to the experiment's end."""
    return experiment.duration - flow.start if flow.duration is None else flow.duration


def _times(experiment: Experiment, name: str) -> Iterator[Problem]:
    flow = experiment.flows[name]
    total = format_duration(experiment.duration)
    duration = flow_duration(experiment, flow)
    if flow.start >= experiment.duration:
        yield Problem(
            ("flows", name, "start"),
            f"found start {format_duration(flow.start)}; expected less than the experiment's duration, {total}",
        )
    elif flow.start + duration > experiment.duration:
        yield Problem(
            ("flows", name, "duration"),
            f"found {format_duration(duration)} after start {format_duration(flow.start)}; "
            f"expected an end within the experiment's duration, {total}",
        )
    elif duration % _SECOND_NS:
        where = ("flows", name, "duration") if flow.duration is not None else ("duration",)
        yield Problem(
            where,
            f"found a flow, '{name}', that lasts {format_duration(duration)}; "
            "expected whole seconds, for iperf3 counts in no less",
        )


def _queues(experiment: Experiment) -> Iterator[Problem]:
    topology = experiment.topology
    bottleneck, access = topology.bottleneck, topology.access
    yield from _queue(experiment, (*_BOTTLENECK, "queue"), bottleneck.queue, bottleneck.rate)
    reverse = reverse_of(bottleneck)
    if bottleneck.reverse.queue is not None or reverse.rate_bps != bottleneck.rate:
        yield from _queue(experiment, (*_BOTTLENECK, "reverse", "queue"), reverse.queue, reverse.rate_bps)
    if access.rate is not None:
        yield from _queue(experiment, (*_ACCESS, "queue"), access.queue or Queue(), access.rate)
    elif access.queue is not None:
        yield Problem((*_ACCESS, "queue"), "found a queue without a rate; expected access.rate as well", "key")


def _queue(experiment: Experiment, here: Path, queue: Queue, rate_bps: int) -> Iterator[Problem]:
    if "limit" in queue.parameters:
        yield Problem((*here, "parameters", "limit"), "found limit; expected it as the queue's own 'limit'", "key")
    rtt_ns = base_rtt_ns(experiment.topology)
    size = queue_size(queue, rate_bps, rtt_ns, experiment.mtu)
    packet = frame_bytes(experiment.mtu)
    too_short = size.limit_packets == 0 or (size.limit_bytes is not None and size.limit_bytes < packet)
    if too_short:
        bdp = f"the BDP is {format_size(bdp_bytes(rate_bps, rtt_ns))}" if rtt_ns else "without delay the BDP is 0"
        yield Problem(
            (*here, "limit"),
            f"found {queue.limit or '1 BDP'}, which at {format_rate(rate_bps)} is shorter than one packet "
            f"({packet} B with its Ethernet header); expected more ({bdp})",
        )


def _path(experiment: Experiment) -> Iterator[Problem]:
    if experiment.ip == "ipv6" and experiment.mtu < _IPV6_MIN_MTU:
        yield Problem(("mtu",), f"found {experiment.mtu} with ip: ipv6; expected at least {_IPV6_MIN_MTU}")
    rtt_ns = base_rtt_ns(experiment.topology)
    if rtt_ns >= experiment.duration:
        yield Problem(
            ("duration",),
            f"found {format_duration(experiment.duration)}; expected more than the path's base RTT, "
            f"{format_duration(rtt_ns)}",
        )


def _collect(experiment: Experiment) -> Iterator[Problem]:
    known = hosts(experiment.topology)
    for name, options in experiment.collect.chosen():
        here: Path = ("collect", name)
        if isinstance(options, Selection):
            for field in ("host", "source", "destination"):
                host = getattr(options, field)
                if host is not None and host not in known and not _is_address(host):
                    message = _unknown_host(host, known, experiment.topology.pairs)
                    yield Problem((*here, field), message.replace("expected a host", "expected an address or a host"))
        if isinstance(options, Drops) and options.window is not None:
            yield from _window(experiment, (*here, "window"), options.window)


def _window(experiment: Experiment, here: Path, window: Window) -> Iterator[Problem]:
    total = format_duration(experiment.duration)
    if window.start >= experiment.duration:
        yield Problem(
            (*here, "from"),
            f"found {format_duration(window.start)}; expected less than the experiment's duration, {total}",
        )
    elif window.end is not None and not window.start < window.end <= experiment.duration:
        yield Problem(
            (*here, "to"),
            f"found {format_duration(window.end)} after from {format_duration(window.start)}; "
            f"expected more than that, and no more than the experiment's duration, {total}",
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
