# SPDX-License-Identifier: Apache-2.0
"""The two documents that cross between the host and the place a trial runs.

The host sends one :class:`Job` (a resolved trial: every value concrete) and gets back one *record*: a
directory whose ``record.json`` is a :class:`Record` and whose other files it names.  Nothing else is
shared, so that a virtual machine, the host's own kernel or a later engine run exactly the same agent.

This module is shipped into the guest: standard library only, no other import from ``lab``.

Units: times are nanoseconds, rates bit/s, sizes bytes, probabilities fractions in [0, 1].
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

PROTOCOL_FORMAT = 6
"""Version of both documents; a mismatch is refused, never guessed at."""

ETHERNET_HEADER_BYTES = 14
"""What ``tc`` counts per packet on top of the IP packet (no FCS, no preamble)."""


class Queue(TypedDict):
    """The queue in front of a rate limit, as ``tc`` builds it."""

    discipline: str
    """A ``tc`` qdisc name: ``bfifo``, ``pfifo``, ``fq_codel`` …"""
    limit_bytes: int | None
    limit_packets: int | None
    parameters: dict[str, str | int | bool]
    """Further ``tc`` parameters of the qdisc, in ``tc``'s own spelling."""


class Loss(TypedDict):
    """How netem loses packets."""

    model: Literal["random", "gemodel", "state"]
    values: list[float]
    """``tc``'s parameters, in its order, as fractions: the probability; p r 1-h 1-k; p13 p31 p32 p23 p14."""


class Jitter(TypedDict):
    """How netem varies the delay."""

    spread_ns: int
    distribution: Literal["uniform", "normal", "pareto", "paretonormal"]
    correlation: float
    keep_order: bool
    """A packet never overtakes the one before."""


class Reorder(TypedDict):
    """Which packets netem sends at once, before those that are delayed."""

    probability: float
    correlation: float
    gap: int
    """Every so many packets only; 0: any."""


class Netem(TypedDict):
    """Propagation and impairment, applied where the packet *arrives* (see ``docs/architecture.md``)."""

    delay_ns: int
    jitter: Jitter | None
    loss: Loss | None
    duplicate: float
    corrupt: float
    reorder: Reorder | None
    limit_packets: int
    """The delay line's capacity; chosen so that it never binds."""
    seed: int


class Capacity(TypedDict):
    """When packets may leave, instead of a constant rate; over and over."""

    counts: str
    """Opportunities in each ms of the period: a byte each, zlib, base64."""
    period_ms: int
    packet_bytes: int
    """What leaves at an opportunity, as ``tc`` counts it."""


class Change(TypedDict):
    """What a direction of a link is like from a time on; None: as before."""

    at_ns: int
    """From the start of traffic."""
    rate_bps: int | None
    queue: Queue | None
    """Given when ``rate_bps`` is: both are set together."""
    netem: Netem | None


class Direction(TypedDict):
    """One direction of a link."""

    rate_bps: int | None
    """None: not limited.  With a capacity file: its mean."""
    queue: Queue | None
    """Given exactly when ``rate_bps`` is."""
    netem: Netem | None
    changes: list[Change]
    """In order of time."""
    capacity: Capacity | None
    lost_packets: list[int]
    """Numbers of those that are lost, from 1: of at least half the MTU, from the start of traffic."""


class Link(TypedDict):
    """A link between the nodes ``a`` and ``b``."""

    name: str
    a: str
    b: str
    ab: Direction
    ba: Direction


class NodeSettings(TypedDict):
    """What is special about a node."""

    sysctls: dict[str, str]
    """``net.*`` of its namespace, set after the agent's own."""
    initial_window: int | None
    """Segments: of the congestion window of its connections (initcwnd of its routes); None: the kernel's choice."""
    queue: Queue | None
    """The discipline of its interfaces that have no rate; None: none, as veth has."""
    offloads: bool | None
    """Instead of the job's."""


class Node(TypedDict):
    name: str
    settings: NotRequired[NodeSettings]
    role: Literal["host", "router", "switch"]
    """Routers forward packets, switches (Linux bridges) frames, hosts neither."""


class Arrivals(TypedDict):
    """Short flows: when each of them begins, and how much it sends."""

    at_ns: list[int]
    """From the start of traffic, in order."""
    bytes: list[int]


class Flow(TypedDict):
    """One iperf3 client and server pair with one connection for data; with ``arrivals``, connections one by one."""

    name: str
    group: str
    """The name of the flow in the experiment file; flows that it was multiplied into share it."""
    source: str
    """The host that sends data."""
    destination: str
    initiator: Literal["source", "destination"]
    """Who opens the connection: iperf3's client.  ``destination``: iperf3's reverse mode."""
    protocol: Literal["tcp", "udp"]
    congestion_control: str
    """``udp`` of a UDP flow, which has none."""
    port: int
    """The server's port; also how the flow is told apart in what the collectors record."""
    start_ns: int
    """From the start of traffic."""
    duration_ns: int
    """How long it sends; with ``limit_bytes``, until when it must have sent them."""
    limit_bytes: int | None
    """How much it sends; None: as much as it can in its time."""
    rate_bps: int | None
    """iperf3's own limit (--bitrate); None: as fast as it can."""
    message_bytes: int | None
    """How much iperf3 writes at a time (--length); None: its own choice."""
    mss_bytes: int | None
    """The largest segment (--set-mss); None: the kernel's choice."""
    pacing_bps: int | None
    """What its segments are paced to at most (SO_MAX_PACING_RATE, --fq-rate); None: as congestion control says."""
    arrivals: Arrivals | None
    """Instead of iperf3: short flows, a connection each."""


class Probe(TypedDict):
    """Small packets at intervals, whose answers' delays are recorded."""

    name: str
    kind: Literal["ping", "tcp", "udp"]
    """``ping``: ICMP echo; ``tcp``: requests over one connection, one at a time; ``udp``: datagrams."""
    source: str
    destination: str
    port: int
    """Of the answering end; 0 for ``ping``."""
    interval_ns: int
    start_ns: int
    duration_ns: int
    request_bytes: int
    response_bytes: int


class Calibration(TypedDict):
    """What is checked on the path of every flow before its traffic starts."""

    ping_count: int


class Network(TypedDict):
    """Nodes and the links between them."""

    nodes: list[Node]
    links: list[Link]


class Job(Network):
    """One trial, resolved."""

    format: int
    kernel: str
    """As :mod:`lab.job.kernels` names it."""
    seed: int
    ip: Literal["ipv4", "ipv6"]
    duration_ns: int
    flows: list[Flow]
    probes: list[Probe]
    mtu: int
    offloads: bool
    """False (the default of every experiment): TSO, GSO and GRO are switched off on every interface."""
    ecn: Literal["off", "on", "passive"]
    """tcp_ecn: 0, 1, 2."""
    congestion_control_parameters: dict[str, dict[str, str]]
    """Algorithm → its module's parameters, for all nodes: there is one module (/sys/module/tcp_*/parameters)."""
    socket_buffer_bytes: int
    """Upper limit of tcp_rmem and tcp_wmem."""
    calibration: Calibration
    collectors: dict[str, dict[str, Any]]
    """Collector name → its options."""


class Field(TypedDict):
    """One field of a collector's fixed-size binary row."""

    name: str
    type: str
    """A numpy type string: ``<u8``, ``<u4``, ``V16`` (raw bytes) …"""
    offset: int


class CollectorResult(TypedDict):
    file: str
    """Rows of ``row_bytes`` each, in the record's directory."""
    rows: int
    lost: int
    """Events that found no room, or came while the program that records them was running."""
    row_bytes: int
    fields: list[Field]
    names: dict[str, dict[str, str]]
    """Field → its values' names, where they stand for something: value in decimal → name."""


class FlowResult(TypedDict):
    name: str
    exit_status: int
    client_json: str
    """What iperf3 printed at the end that sends data: in reverse mode, its server.  Empty of short flows."""
    server_json: str
    """And at the end that receives."""
    source_address: str
    source_port: int
    """0 of short flows, which have one each."""
    destination_address: str
    destination_port: int
    congestion_control: str
    """Read back from the socket in the kernel (INET_DIAG_CONG)."""
    tcp_info: dict[str, int]
    """The last ``struct tcp_info`` of the data socket before the flow's end, fields as in
    ``include/uapi/linux/tcp.h`` without the ``tcpi_`` prefix; times in microseconds.  Empty of UDP and short flows."""
    tcp_info_at_ns: int
    """When it was read, from the start of traffic."""


class InterfaceResult(TypedDict):
    node: str
    interface: str
    link: str
    role: Literal["egress", "ingress"]
    """``ingress``: the ifb that carries the netem of packets arriving here."""
    offloads: dict[str, bool]
    """As ``ethtool`` reads them back: tso, gso, gro. Empty for an ifb."""
    mtu: int
    qdiscs_before: list[dict[str, Any]]
    """``tc -j -s qdisc show`` before the traffic, and after it."""
    qdiscs_after: list[dict[str, Any]]


class Namespace(TypedDict):
    """The network namespace of a node: events name it by number."""

    node: str
    number: int
    interfaces: dict[str, str]
    """Index in decimal → name."""


class PathCalibration(TypedDict):
    """One flow's path, measured before its traffic on the built topology."""

    source: str
    destination: str
    rtt_ns: list[int]
    """Round-trip times of the echo requests that were answered."""
    sent: int
    rate_bps: int | None
    """Bits per second that the bottleneck's counters showed while it was kept busy."""


class Cpu(TypedDict):
    """The virtual (or real) processor over the traffic's time, from ``/proc/stat``."""

    total_ns: int
    busy_ns: int
    processors: int


class Pressure(TypedDict):
    """What else the machine did while traffic ran."""

    load_before: float
    """The load average over a minute, before the trial."""
    stall_ns: int | None
    """How long some task waited for a processor (PSI, cpu some); None: this kernel does not tell."""
    steal_ns: int
    """What a hypervisor gave to others, over all processors."""
    softnet_dropped: int
    """Packets that found the backlog full (netdev_max_backlog): lost before any qdisc or socket saw them."""
    softnet_squeezed: int
    """How often receiving was put off with packets left (netdev_budget)."""


class Record(TypedDict):
    format: int
    engine: str
    """``vm``: virtual time; ``native``: real time, on a machine that does other things as well."""
    status: Literal["ok", "failed"]
    error: NotRequired[str]
    """Only when failed: what happened, in one line."""
    traceback: NotRequired[str]
    traffic_start_ns: int
    """CLOCK_MONOTONIC at the start of traffic; collectors' times are relative to it."""
    traffic_end_ns: int
    """From the start of traffic."""
    kernel: str
    versions: dict[str, str]
    sysctls: dict[str, str]
    available_congestion_control: list[str]
    flows: list[FlowResult]
    interfaces: list[InterfaceResult]
    namespaces: list[Namespace]
    counters: dict[str, dict[str, int]]
    """Node → what its kernel's counters grew by while traffic ran, as ``nstat`` names them; those that did not are
    left out."""
    calibration: list[PathCalibration]
    cpu: Cpu
    pressure: Pressure | None
    """None in virtual time, which nothing else can disturb."""
    collectors: dict[str, CollectorResult]
    """And ``latency``, the rows of the probes, and ``completions``, those of short flows, if there are any."""
