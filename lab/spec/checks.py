# SPDX-License-Identifier: Apache-2.0
"""What must hold between the fields of one cell's experiment (its matrix left aside).  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from lab.network import NoRouteError, route
from lab.spec.check_links import links_problems
from lab.spec.check_topology import topology_problems
from lab.spec.collect import Drops, Selection, Window
from lab.spec.fields import Path
from lab.spec.graph import Graph, graph_of
from lab.spec.models import Experiment, Flow
from lab.spec.problems import Problem, nearest
from lab.spec.wires import bare_job
from lab.units import format_duration, show

__all__ = ["check", "flow_duration"]

_SECOND_NS = 10**9
_IPV6_MIN_MTU = 1280  # RFC 8200, section 5
_SHOWN_HOSTS = 8


def check(experiment: Experiment) -> list[Problem]:
    """Return everything that does not fit together; the message of each says what was found and what is allowed."""
    found = list(topology_problems(experiment.topology))
    if found:
        # Nothing else can be judged in a network that cannot be.
        return found
    graph = graph_of(experiment.topology)
    found = [*_flows(experiment, graph), *_mtu(experiment)]
    if not found:
        found += _paths(experiment, graph)
    return [*found, *links_problems(experiment, graph), *_collect(experiment, graph)]


def _flows(experiment: Experiment, graph: Graph) -> Iterator[Problem]:
    for name, flow in experiment.flows.items():
        here: Path = ("flows", name)
        for key, host in (("from", flow.source), ("to", flow.destination)):
            if host not in graph.hosts:
                yield Problem((*here, key), _no_host(host, graph))
        if flow.source == flow.destination:
            yield Problem((*here, "to"), f"found {show(flow.destination)}; expected another host than 'from'")
        yield from _times(experiment, name)


def _no_host(name: str, graph: Graph) -> str:
    role = next((node["role"] for node in graph.nodes if node["name"] == name), None)
    found = f"found {show(name)}" + (f", which is a {role}" if role else "")
    close = nearest(name, graph.hosts)
    return f"{found}; expected a host, {_listed(graph.hosts)}" + (f"; did you mean '{close}'?" if close else "")


def _listed(hosts: list[str]) -> str:
    if len(hosts) <= _SHOWN_HOSTS:
        return " or ".join([", ".join(hosts[:-1]), hosts[-1]] if len(hosts) > 1 else hosts)
    return f"{', '.join(hosts[:3])} … {hosts[-1]} ({len(hosts)} in all)"


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


def _mtu(experiment: Experiment) -> Iterator[Problem]:
    if experiment.ip == "ipv6" and experiment.mtu < _IPV6_MIN_MTU:
        yield Problem(("mtu",), f"found {experiment.mtu} with ip: ipv6; expected at least {_IPV6_MIN_MTU}")


def _paths(experiment: Experiment, graph: Graph) -> Iterator[Problem]:
    job = bare_job(graph)
    longest = 0
    for name, flow in experiment.flows.items():
        try:
            hops = (*route(job, flow.source, flow.destination), *route(job, flow.destination, flow.source))
        except NoRouteError:
            message = (
                f"found {show(flow.destination)}; expected a host that {flow.source} can reach (hosts do not forward)"
            )
            yield Problem(("flows", name, "to"), message)
            continue
        longest = max(longest, sum(hop.direction["netem"]["delay_ns"] for hop in hops if hop.direction["netem"]))
    if longest >= experiment.duration:
        yield Problem(
            ("duration",),
            f"found {format_duration(experiment.duration)}; expected more than the path's base RTT, "
            f"{format_duration(longest)}",
        )


def _collect(experiment: Experiment, graph: Graph) -> Iterator[Problem]:
    for name, options in experiment.collect.chosen():
        here: Path = ("collect", name)
        if isinstance(options, Selection):
            for field in ("host", "source", "destination"):
                host = getattr(options, field)
                if host is not None and host not in graph.hosts and not _is_address(host):
                    message = _no_host(host, graph)
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
