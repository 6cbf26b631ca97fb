# SPDX-License-Identifier: Apache-2.0
"""Check the rules between the fields of one cell's experiment, without its matrix.  This module does no I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from lab.experiment.check.hosts import host_problems
from lab.experiment.check.links import links_problems
from lab.experiment.check.measure import measure_problems
from lab.experiment.check.problems import Problem, nearest
from lab.experiment.check.topology import topology_problems
from lab.experiment.resolve.graph import Graph, graph_of
from lab.experiment.resolve.memory import LEAST_PER_HELD, held_by_paths
from lab.experiment.resolve.paths import route
from lab.experiment.resolve.traffic import connections, connections_of
from lab.experiment.resolve.wires import bare_job, links
from lab.experiment.schema.collect import Drops, Selection, Window
from lab.experiment.schema.congestion import OwnAlgorithm
from lab.experiment.schema.experiment import Experiment, Flow
from lab.experiment.schema.fields import Path
from lab.job import kernels
from lab.job.machines import socket_memory_bytes
from lab.job.network import NoRouteError
from lab.job.protocol import Link, Network
from lab.units import format_duration, format_size, show
from lab.words import listed

__all__ = ["check"]

MAX_FLOWS = 250
MIN_MESSAGE, MAX_MESSAGE = 16, 1 << 20
"""Limits of a flow's message, in bytes: what iperf3's cookie and headers need, and iperf3's MAX_BLOCKSIZE."""

MAX_ARRIVALS = 10_000
"""The largest expected number of short flows that one declared flow may stand for."""

MIN_PROBE = 8
"""The smallest packet of a probe, in bytes: each packet carries its number."""

_SECOND_NS = 10**9
_MIN_INTERVAL_NS = 10**6
_MIN_BIN_NS, _MAX_BIN_NS = 10**6, 10**8
"""Narrower bins would cost as much as a row for each packet, and the figures of goodput have bins of 100 ms."""
_UDP_IP_HEADERS = {"ipv4": 28, "ipv6": 48}
_TCP_IP_HEADERS = {"ipv4": 40, "ipv6": 60}
_IPV6_MIN_MTU = 1280  # RFC 8200, section 5
_SHOWN_HOSTS = 8


def check(experiment: Experiment) -> list[Problem]:
    """Return all problems between the fields of an experiment; an empty list if there are none."""
    found = [*_kernel(experiment), *_own_algorithms(experiment), *topology_problems(experiment.topology)]
    if found:
        # The other checks need a valid network.
        return found
    graph = graph_of(experiment.topology)
    found = [
        *_flows(experiment, graph),
        *_mtu(experiment),
        *_bin_width(experiment),
        *host_problems(experiment.hosts, graph),
        *_probes(experiment, graph),
    ]
    if not found:
        found += [*_paths(experiment, graph), *measure_problems(experiment)]
    found += [*links_problems(experiment, graph), *_collect(experiment, graph)]
    if found:
        return found
    built = links(experiment, experiment.seed)
    found = list(_memory(experiment, built))
    if not found and experiment.engine == "uml":
        found += _unlimited(experiment, graph, built)
    return found


def _kernel(experiment: Experiment) -> Iterator[Problem]:
    kernel = experiment.kernel
    if kernel is None:
        return
    shown = "a kernel package" if kernels.is_package(kernel) else show(kernel)
    if experiment.engine == "native":
        message = f"found {shown} with engine: native; expected no kernel, because trials run on this host's own"
        yield Problem(("kernel",), message)
    elif experiment.engine == "uml" and kernel not in kernels.UML:
        message = (
            f"found {shown} with engine: uml; expected {' or '.join(kernels.UML)}, because this engine runs only "
            "kernels that lab has compiled for it"
        )
        yield Problem(("kernel",), message)
    elif experiment.engine == "vm" and kernel in kernels.UML:
        message = f"found {shown} with engine: vm; expected engine: uml as well, which runs this kernel"
        yield Problem(("kernel",), message)


def _own_algorithms(experiment: Experiment) -> Iterator[Problem]:
    for name, flow in experiment.flows.items():
        if isinstance(flow.cc, OwnAlgorithm) and (reason := _not_loadable(experiment, flow.cc)):
            yield Problem(("flows", name, "cc"), reason)


def _not_loadable(experiment: Experiment, own: OwnAlgorithm) -> str:
    """Return why the kernel of an experiment cannot load an algorithm of the user; empty if it can."""
    kernel = experiment.kernel
    if own.is_module:
        found = f"found your own kernel module '{own.name}'"
        if experiment.engine == "uml":
            return (
                f"{found} with engine: uml, whose kernel cannot load modules: it is a program that was compiled "
                "without support for them; expected engine: vm"
            )
        if experiment.engine == "native":
            return (
                f"{found} with engine: native; expected engine: vm, because a module may do anything to the kernel "
                "that it is loaded into"
            )
        if kernel is not None and kernels.is_package(kernel):
            return f"{found} with a kernel package, which has no headers; expected one of Debian's kernels"
    elif experiment.engine == "uml":
        return (
            f"found your own algorithm '{own.name}' with engine: uml, whose kernel cannot load it: a kernel "
            "registers BPF programs as an algorithm only if it compiles them to machine code, for which User-mode "
            "Linux has no compiler; expected engine: vm"
        )
    return ""


def _flows(experiment: Experiment, graph: Graph) -> Iterator[Problem]:
    names: dict[str, str] = {}
    for name, flow in experiment.flows.items():
        here: Path = ("flows", name)
        found = list(_flow(experiment, graph, here, flow))
        yield from found
        if found:
            continue
        for connection in connections_of(name, flow, experiment.duration):
            if connection.name in names:
                other = names[connection.name]
                message = (
                    f"its flow '{connection.name}' has the same name as a flow of '{other}'; expected another name"
                )
                yield Problem(here, message, "key")
                break
            names[connection.name] = name
    total = sum(len(connections_of(name, flow, experiment.duration)) for name, flow in experiment.flows.items())
    if total > MAX_FLOWS:
        yield Problem(("flows",), f"found {total} flows in total; expected at most {MAX_FLOWS}", "key")


def _flow(experiment: Experiment, graph: Graph, here: Path, flow: Flow) -> Iterator[Problem]:
    for key, host in (("from", flow.source), ("to", flow.destination)):
        for number in range(1, flow.count + 1):
            full = host.replace("{i}", str(number))
            if full not in graph.hosts:
                yield Problem((*here, key), _no_host(full, graph))
                break
    if flow.source == flow.destination:
        yield Problem((*here, "to"), f"found {show(flow.destination)}; expected a host other than 'from'")
    if flow.every and flow.count == 1:
        yield Problem((*here, "every"), "found 'every' for a single flow; expected 'count' as well", "key")
    if flow.off is not None and flow.on is None:
        message = "found 'off' without 'on'; expected 'on' as well: how long the flow sends each time"
        yield Problem((*here, "off"), message, "key")
    if flow.on is not None and flow.amount is not None and flow.arrivals is None:
        yield Problem((*here, "amount"), "found 'amount' together with 'on'; expected only one of them", "key")
    most_bytes = MAX_MESSAGE if flow.protocol == "tcp" else experiment.mtu - _UDP_IP_HEADERS[experiment.ip]
    if flow.message is not None and not MIN_MESSAGE <= flow.message <= most_bytes:
        yield Problem(
            (*here, "message"),
            f"found {format_size(flow.message)}; expected a size from {MIN_MESSAGE} B to {format_size(most_bytes)}",
        )
    if flow.mss is not None and flow.mss > experiment.mtu - _TCP_IP_HEADERS[experiment.ip]:
        most = experiment.mtu - _TCP_IP_HEADERS[experiment.ip]
        yield Problem((*here, "mss"), f"found {flow.mss}; expected at most {most}, because the MTU is {experiment.mtu}")
    yield from _only_tcp(here, flow)
    yield from _arrivals(experiment, here, flow)
    yield from _times(experiment, here, flow)


def _only_tcp(here: Path, flow: Flow) -> Iterator[Problem]:
    if flow.protocol == "tcp":
        return
    if flow.rate is None:
        message = "found no rate for a UDP flow; expected one, because a UDP flow has no congestion control"
        yield Problem((*here, "rate"), message, "key")
    for name in ("cc", "mss", "pacing", "arrivals"):
        if name in flow.model_fields_set and getattr(flow, name) is not None:
            yield Problem((*here, name), f"found '{name}' for a UDP flow; expected it for TCP flows only", "key")


def _arrivals(experiment: Experiment, here: Path, flow: Flow) -> Iterator[Problem]:
    if flow.arrivals is None:
        return
    if flow.amount is None:
        message = "found no amount for short flows; expected how much each of them sends"
        yield Problem((*here, "amount"), message, "key")
    for name, is_given in (
        ("direction", flow.direction != "forward"),
        ("rate", flow.rate is not None),
        ("message", flow.message is not None),
        ("on", flow.on is not None),
    ):
        if is_given:
            hint = "; exchange 'from' and 'to' instead" if name == "direction" else ""
            yield Problem((*here, name), f"found '{name}' for short flows; expected none{hint}", "key")
    seconds = (experiment.duration - flow.start if flow.duration is None else flow.duration) / _SECOND_NS
    expected = flow.arrivals.per_second * seconds * flow.count
    if expected > MAX_ARRIVALS:
        found = f"found about {expected:.0f} short flows in total; expected at most {MAX_ARRIVALS}"
        yield Problem((*here, "arrivals", "per_second"), found)
    if expected < 1:
        found = f"found fewer than one flow in {seconds:g} s on average; expected at least one"
        yield Problem((*here, "arrivals", "per_second"), found)


def _probes(experiment: Experiment, graph: Graph) -> Iterator[Problem]:
    total = format_duration(experiment.duration)
    for name, probe in experiment.probes.items():
        here: Path = ("probes", name)
        for key, host in (("from", probe.source), ("to", probe.destination)):
            if host not in graph.hosts:
                yield Problem((*here, key), _no_host(host, graph))
        if probe.source == probe.destination:
            yield Problem((*here, "to"), f"found {show(probe.destination)}; expected a host other than 'from'")
        if name in experiment.flows:
            yield Problem(here, "found a probe with the name of a flow; expected another name", "key")
        for key, size in (("request", probe.request), ("response", probe.response)):
            most = MAX_MESSAGE if probe.kind == "tcp" else experiment.mtu - _UDP_IP_HEADERS[experiment.ip]
            if not MIN_PROBE <= size <= most:
                found = f"found {format_size(size)}; expected a size from {MIN_PROBE} B to {format_size(most)}"
                yield Problem((*here, key), found)
        if probe.start + (probe.duration or 1) > experiment.duration:
            if probe.duration is None:
                found = f"found a start at {format_duration(probe.start)}; expected a start"
            else:
                found = f"found an end at {format_duration(probe.start + probe.duration)}; expected an end"
            key = "start" if probe.duration is None else "duration"
            yield Problem((*here, key), f"{found} within the experiment's duration, {total}")
        if probe.interval < _MIN_INTERVAL_NS:
            yield Problem((*here, "interval"), f"found {format_duration(probe.interval)}; expected at least 1 ms")


def _no_host(name: str, graph: Graph) -> str:
    role = next((node["role"] for node in graph.nodes if node["name"] == name), None)
    found = f"found {show(name)}" + (f", which is a {role}" if role else "")
    close = nearest(name, graph.hosts)
    return f"{found}; expected a host ({_listed(graph.hosts)})" + (f"; did you mean '{close}'?" if close else "")


def _listed(hosts: list[str]) -> str:
    if len(hosts) <= _SHOWN_HOSTS:
        return listed(hosts, "or")
    return f"{', '.join(hosts[:3])}, … {hosts[-1]}, {len(hosts)} in total"


def _times(experiment: Experiment, here: Path, flow: Flow) -> Iterator[Problem]:
    total = format_duration(experiment.duration)
    last_start = flow.start + (flow.count - 1) * flow.every
    duration = experiment.duration - last_start if flow.duration is None else flow.duration
    if flow.start >= experiment.duration:
        yield Problem(
            (*here, "start"),
            f"found start {format_duration(flow.start)}; expected less than the experiment's duration, {total}",
        )
    elif last_start >= experiment.duration:
        yield Problem(
            (*here, "every"),
            f"found a flow that would start at {format_duration(last_start)}; expected less than the experiment's "
            f"duration, {total}",
        )
    elif last_start + duration > experiment.duration:
        yield Problem(
            (*here, "duration"),
            f"found {format_duration(duration)} after a start at {format_duration(last_start)}; "
            f"expected an end within the experiment's duration, {total}",
        )
    elif flow.amount is None and flow.on is not None and flow.on % _SECOND_NS:
        message = f"found {format_duration(flow.on)}; expected whole seconds, because iperf3 takes no fractions"
        yield Problem((*here, "on"), message)
    elif flow.on is not None and flow.on > duration:
        yield Problem((*here, "on"), f"found {format_duration(flow.on)}; expected at most the flow's own duration")
    elif flow.amount is None and flow.on is None and flow.arrivals is None:
        yield from _whole_seconds(experiment, here, flow)


def _whole_seconds(experiment: Experiment, here: Path, flow: Flow) -> Iterator[Problem]:
    for connection in connections_of(str(here[-1]), flow, experiment.duration):
        if connection.duration_ns % _SECOND_NS:
            where: Path = (*here, "duration") if flow.duration is not None else ("duration",)
            yield Problem(
                where,
                f"found a flow '{connection.name}' that lasts {format_duration(connection.duration_ns)}; "
                "expected whole seconds, because iperf3 takes no fractions",
            )
            return


def _mtu(experiment: Experiment) -> Iterator[Problem]:
    if experiment.ip == "ipv6" and experiment.mtu < _IPV6_MIN_MTU:
        yield Problem(("mtu",), f"found {experiment.mtu} with ip: ipv6; expected at least {_IPV6_MIN_MTU}")


def _bin_width(experiment: Experiment) -> Iterator[Problem]:
    if not _MIN_BIN_NS <= experiment.bin_width <= _MAX_BIN_NS:
        found = f"found {format_duration(experiment.bin_width)}"
        yield Problem(("bin_width",), f"{found}; expected a width from 1 ms to 100 ms")


def _paths(experiment: Experiment, graph: Graph) -> Iterator[Problem]:
    job = bare_job(graph)
    longest = 0
    reported = set[str]()
    flows = [
        ("flows", one.group, one.source, one.destination) for one in connections(experiment.flows, experiment.duration)
    ]
    probes = [("probes", name, probe.source, probe.destination) for name, probe in experiment.probes.items()]
    for section, name, source, destination in (*flows, *probes):
        try:
            hops = (*route(job, source, destination), *route(job, destination, source))
        except NoRouteError:
            if name not in reported:
                message = f"found no path from {source} to {destination}; expected one (hosts do not forward packets)"
                yield Problem((section, name, "to"), message)
            reported.add(name)
            continue
        longest = max(longest, sum(hop.direction["netem"]["delay_ns"] for hop in hops if hop.direction["netem"]))
    if longest >= experiment.duration:
        yield Problem(
            ("duration",),
            f"found {format_duration(experiment.duration)}; expected more than the path's base RTT, "
            f"{format_duration(longest)}",
        )


def _memory(experiment: Experiment, built: list[Link]) -> Iterator[Problem]:
    """Yield a problem if the guest's memory cannot hold what is on the paths of the TCP flows at the same time."""
    budget = socket_memory_bytes(experiment.engine)
    if budget is None:
        return
    held = held_by_paths(experiment, built)
    need = LEAST_PER_HELD * held.sum_bytes
    if need > budget:
        message = (
            f"found paths that can hold {format_size(held.sum_bytes)} of TCP's data (bandwidth-delay products and full "
            f"queues), for which the sockets of both ends need {format_size(need)} of memory; expected at most "
            f"{format_size(budget)}, which is what the guest of engine {experiment.engine} can give: use smaller "
            "queues, rates or delays"
        )
        yield Problem(("topology",), message, "key")


def _unlimited(experiment: Experiment, graph: Graph, built: list[Link]) -> Iterator[Problem]:
    """Yield a problem for each flow that would send any amount of data in no time."""
    network = Network(nodes=list(graph.nodes), links=built)
    for name, flow in experiment.flows.items():
        if flow.rate is not None or flow.amount is not None:
            continue
        for one in connections_of(name, flow, experiment.duration):
            if not any(hop.direction["rate_bps"] for hop in route(network, one.source, one.destination)):
                message = (
                    f"found no rate limit on the path from {one.source} to {one.destination} with engine: uml; "
                    "expected one, or a 'rate' of the flow, because with this engine nothing else limits a flow"
                )
                yield Problem(("flows", name), message, "key")
                break


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
            f"found {format_duration(window.end)} with 'from' at {format_duration(window.start)}; "
            f"expected a later time, and at most the experiment's duration, {total}",
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
