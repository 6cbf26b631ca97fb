# SPDX-License-Identifier: Apache-2.0
"""The two documents that the host and the machine that runs a trial exchange: the job and the record.

The host sends a :class:`Job`, which describes a trial with concrete values only, and receives a *record*: a directory
whose ``record.json`` is a :class:`Record`, which names the other files in it.  Nothing else is exchanged; therefore the
same agent runs in a virtual machine, on the host's own kernel, and under any future engine.

This module is copied into the guest.  It therefore uses only the standard library, and of ``lab`` only what is in
``lab.job``.

Units: times are in nanoseconds, rates in bit/s, sizes in bytes, and probabilities are fractions in [0, 1].
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from lab.job.accounts import FlowAccounts

PROTOCOL_FORMAT = 9
"""The version of both documents; documents of other versions are refused."""

ALGORITHM_LOG = "algorithm.log"
"""The file of a failed record with what libbpf and the verifier say about a congestion control that they refuse."""

ETHERNET_HEADER_BYTES = 14
"""The bytes that ``tc`` counts for each packet in addition to the IP packet: no FCS and no preamble are included."""


UNKNOWN_VALUES = {"sojourn_ns": 2**64 - 1, "datagram": 0}
"""Field of a collector's rows → the number by which the kernel's programs say that they do not know its value."""

MANAGEMENT_INTERFACE = "mgmt"
"""The interface of each host over which only iperf3's control traffic passes."""


class Queue(TypedDict):
    """The queue in front of a rate limit, as ``tc`` builds it."""

    discipline: str
    """The name of the queueing discipline in ``tc``, such as ``bfifo``, ``pfifo`` or ``fq_codel``."""
    limit_bytes: int | None
    limit_packets: int | None
    parameters: dict[str, str | int | bool]
    """Further parameters of the queueing discipline, as ``tc`` spells them."""


class Loss(TypedDict):
    """The loss of packets by netem."""

    model: Literal["random", "gemodel", "state"]
    values: list[float]
    """The parameters of the model in ``tc``'s order, as fractions.

    They are the probability for ``random``; p, r, 1-h and 1-k for ``gemodel``; p13, p31, p32, p23 and p14 for
    ``state``.
    """


class Jitter(TypedDict):
    """The variation of the delay by netem."""

    spread_ns: int
    distribution: Literal["uniform", "normal", "pareto", "paretonormal"]
    correlation: float
    keep_order: bool
    """Whether packets stay in order, so that none overtakes an earlier one."""


class Reorder(TypedDict):
    """The reordering of packets by netem: the selected packets are sent at once and overtake those that are delayed."""

    probability: float
    correlation: float
    gap: int
    """If N, at least N - 1 packets are delayed between two that are reordered; 0: any packet can be reordered."""


class Netem(TypedDict):
    """Propagation delay and impairments, applied where packets *arrive* (see docs/explanation/architecture.md)."""

    delay_ns: int
    jitter: Jitter | None
    loss: Loss | None
    duplicate: float
    corrupt: float
    reorder: Reorder | None
    limit_packets: int
    """The limit of netem's queue, large enough that netem never drops a packet because of it."""
    seed: int


class Capacity(TypedDict):
    """The times at which packets may leave a link, which replace a constant rate; they are repeated periodically."""

    counts: str
    """The number of opportunities in each millisecond of the period: one byte each, compressed by zlib, in base64."""
    period_ms: int
    packet_bytes: int
    """The size of a packet that leaves at one opportunity, as ``tc`` counts it."""


class Change(TypedDict):
    """A change of one direction of a link at a given time; fields that are None stay as they were."""

    at_ns: int
    """The time of the change, measured from the start of traffic."""
    rate_bps: int | None
    queue: Queue | None
    """The queue, given exactly if ``rate_bps`` is given: both are set together."""
    netem: Netem | None


class Direction(TypedDict):
    """One direction of a link."""

    rate_bps: int | None
    """The rate limit; None if there is none.  With a capacity file, its mean rate."""
    queue: Queue | None
    """The queue in front of the rate limit, given exactly if ``rate_bps`` is given."""
    netem: Netem | None
    changes: list[Change]
    """The changes while traffic runs, in order of time."""
    capacity: Capacity | None
    lost_packets: list[int]
    """The numbers of the packets that are lost.

    Only packets of at least half the MTU are counted, from 1, beginning at the start of traffic.
    """


class Link(TypedDict):
    """A link between the nodes ``a`` and ``b``."""

    name: str
    a: str
    b: str
    ab: Direction
    ba: Direction


class NodeSettings(TypedDict):
    """Settings of a single node that differ from those of the other nodes."""

    sysctls: dict[str, str]
    """Sysctls under ``net.*`` of the node's namespace, set after those that the agent sets on all nodes."""
    initial_window: int | None
    """The initial congestion window in segments (initcwnd of the node's routes); None: the kernel's choice."""
    queue: Queue | None
    """The queueing discipline of the node's interfaces without a rate limit; None: no queue, as is usual for veth."""
    offloads: bool | None
    """Whether TSO, GSO and GRO are on at this node; None: as in the job."""


class Node(TypedDict):
    """A host, router or switch."""

    name: str
    settings: NotRequired[NodeSettings]
    role: Literal["host", "router", "switch"]
    """Routers forward packets, switches (Linux bridges) forward frames, and hosts forward neither."""


class Window(TypedDict):
    """A part of the time in which traffic runs: from ``start_ns`` on, and before ``end_ns``; empty if both are equal.

    Both are measured from the start of traffic.
    """

    start_ns: int
    end_ns: int


class Arrivals(TypedDict):
    """The start times and sizes of short flows."""

    at_ns: list[int]
    """The start time of each flow, measured from the start of traffic, in ascending order."""
    bytes: list[int]
    """The amount of data that each flow sends."""


class Flow(TypedDict):
    """An iperf3 client and server with one connection for data; with ``arrivals``, a series of short connections."""

    name: str
    group: str
    """The name of the flow in the experiment file; all flows that come from the same declaration share it."""
    source: str
    """The host that sends data."""
    destination: str
    """The host that receives data."""
    initiator: Literal["source", "destination"]
    """The end that opens the connection (iperf3's client); ``destination`` means iperf3's reverse mode."""
    protocol: Literal["tcp", "udp"]
    congestion_control: str
    """The congestion control algorithm; ``udp`` for a UDP flow, which has none."""
    port: int
    """The server's port, which also identifies the flow in the rows of the collectors."""
    start_ns: int
    """The start of the flow, measured from the start of traffic."""
    duration_ns: int
    """How long the flow sends; with ``limit_bytes``, the time within which it must have sent them."""
    limit_bytes: int | None
    """The amount of data that the flow sends; None: as much as it can send in its duration."""
    rate_bps: int | None
    """The rate limit of iperf3 (--bitrate); None: not limited."""
    message_bytes: int | None
    """The size of each write of iperf3 (--length); None: iperf3's default."""
    mss_bytes: int | None
    """The maximum segment size (--set-mss); None: the kernel's choice."""
    pacing_bps: int | None
    """The highest pacing rate (SO_MAX_PACING_RATE, --fq-rate); None: the rate that congestion control chooses."""
    arrivals: Arrivals | None
    """The short flows that replace iperf3's connection; each of them has its own connection."""
    measured: Window
    """The part of the flow's declared time that its figures cover."""


class Probe(TypedDict):
    """A probe that sends small requests at intervals and records the delay of each response."""

    name: str
    kind: Literal["ping", "tcp", "udp"]
    """``ping``: ICMP echo; ``tcp``: requests over one connection, one after the other; ``udp``: datagrams."""
    source: str
    """The host that sends the requests."""
    destination: str
    """The host that responds."""
    port: int
    """The port of the host that responds; 0 for ``ping``."""
    interval_ns: int
    start_ns: int
    duration_ns: int
    request_bytes: int
    response_bytes: int
    measured: Window
    """The part of the probe's declared time in which it must have sent a request for its figures to cover it."""


AlgorithmForm = Literal["module", "module source"]
"""``module``: a kernel module for the kernel of the job.  ``module source``: the files from which it is made, as a JSON
object of paths and texts; this is only in plans whose modules have not been compiled yet, and never in a job that runs.
"""


class Algorithm(TypedDict):
    """A congestion control that the user has written."""

    name: str
    """The name under which it is registered in the kernel, and which flows use."""
    source_sha256: str
    """The SHA-256 of its source, in hexadecimal."""
    object: str
    """The object that clang made of it for BPF, or what ``form`` says: compressed by zlib, in base64."""
    form: NotRequired[AlgorithmForm]
    """What else ``object`` is."""


class Calibration(TypedDict):
    """The measurements on the path of each flow before traffic starts."""

    ping_count: int


class Network(TypedDict):
    """Nodes and the links between them."""

    nodes: list[Node]
    links: list[Link]


class Job(Network):
    """A trial as an engine runs it, with concrete values only."""

    format: int
    kernel: str
    """The name of the kernel, as in :mod:`lab.job.kernels`."""
    seed: int
    ip: Literal["ipv4", "ipv6"]
    duration_ns: int
    flows: list[Flow]
    probes: list[Probe]
    mtu: int
    offloads: bool
    """Whether TSO, GSO and GRO are on.  The default is False: they are switched off on all interfaces."""
    ecn: Literal["off", "on", "passive"]
    """The value of the sysctl tcp_ecn: 0, 1 or 2."""
    congestion_control_parameters: dict[str, dict[str, str]]
    """Algorithm → parameters of its kernel module (/sys/module/tcp_*/parameters), which all nodes share."""
    socket_buffer_bytes: int
    """The largest size in tcp_rmem and tcp_wmem."""
    bin_ns: int
    """The width of the bins in which the packets of flows and the lengths of queues are counted."""
    calibration: Calibration
    collectors: dict[str, dict[str, Any]]
    """Name of a collector → its options."""
    algorithms: NotRequired[list[Algorithm]]
    """The congestion controls that are registered for this trial, in addition to those that the kernel has."""


class Field(TypedDict):
    """One field of a collector's fixed-size binary row."""

    name: str
    type: str
    """The type of the field as a numpy type string, such as ``<u8``, ``<u4`` or ``V16`` (raw bytes)."""
    offset: int


class CollectorResult(TypedDict):
    """The rows that a collector recorded."""

    file: str
    """The file in the record's directory that contains the rows, of ``row_bytes`` each."""
    rows: int
    lost: int
    """The number of events that were not recorded.

    They did not fit in the buffer, or happened while the BPF program that records them was already running.
    """
    row_bytes: int
    fields: list[Field]
    names: dict[str, dict[str, str]]
    """For fields whose values have names: field → value in decimal → name."""


class FlowResult(TypedDict):
    """The result of a flow."""

    name: str
    client_json: str
    """The output of iperf3 at the end that sends data, which in reverse mode is its server.  Empty for short flows."""
    server_json: str
    """The output of iperf3 at the end that receives data.  Empty for short flows."""
    source_address: str
    source_port: int
    """The port of the end that sends data; 0 for short flows, each of which has its own port."""
    destination_address: str
    destination_port: int
    congestion_control: str
    """The algorithm as read back from the socket in the kernel (INET_DIAG_CONG)."""
    tcp_info: dict[str, int]
    """The ``struct tcp_info`` of the data socket when its connection left the state ESTABLISHED.

    The fields are those of ``include/uapi/linux/tcp.h`` without the prefix ``tcpi_``.  Times are in microseconds,
    except ``last_data_sent``, ``last_ack_sent``, ``last_data_recv`` and ``last_ack_recv``, which are in milliseconds.
    Empty for UDP flows and short flows.
    """
    tcp_info_at_ns: int
    """The time when ``tcp_info`` was read, measured from the start of traffic."""
    accounts: FlowAccounts
    was_given_up: bool
    """Whether the flow still ran long after its declared end and was ended by the agent."""


class InterfaceResult(TypedDict):
    """The settings and counters of an interface."""

    node: str
    interface: str
    link: str
    role: Literal["egress", "ingress"]
    """``egress``: an interface of a link; ``ingress``: the ifb with the netem for packets that arrive there."""
    offloads: dict[str, bool]
    """The settings of tso, gso and gro as read back by ``ethtool``.  Empty for an ifb."""
    mtu: int
    qdiscs_before: list[dict[str, Any]]
    """The output of ``tc -j -s qdisc show`` before the traffic."""
    qdiscs_after: list[dict[str, Any]]
    """The output of ``tc -j -s qdisc show`` after the traffic."""


class Namespace(TypedDict):
    """The network namespace of a node, which the rows of collectors identify by its number."""

    node: str
    number: int
    interfaces: dict[str, str]
    """Index of an interface in decimal → its name."""


class PathCalibration(TypedDict):
    """The path of a flow, measured on the built topology before traffic starts."""

    source: str
    destination: str
    sent: int
    """The number of echo requests that were sent."""
    answered: int
    """The number of those that were answered."""
    min_rtt_ns: int | None
    """The shortest round-trip time of an echo request, to the microsecond; None if none was answered."""
    max_rtt_ns: int | None
    """The longest one."""
    rate_bps: int | None
    """The rate of the bottleneck while it was kept busy, from the counters of its interface."""


class Cpu(TypedDict):
    """The use of the virtual (or real) processors while traffic ran, from ``/proc/stat``."""

    total_ns: int
    busy_ns: int
    processors: int


class Pressure(TypedDict):
    """The effects of other work on the machine while traffic ran."""

    load_before: float
    """The load average over one minute, read before the trial."""
    stall_ns: int | None
    """How long some task waited for a processor ("some" in PSI's cpu file); None if the kernel does not report it."""
    steal_ns: int
    """The time that a hypervisor gave to other virtual machines, summed over all processors."""
    softnet_dropped: int
    """The number of packets dropped because the backlog was full (netdev_max_backlog), before any qdisc or socket."""
    softnet_squeezed: int
    """How often the kernel stopped receiving although packets were left, because of its budget (netdev_budget)."""


class Record(TypedDict):
    """The results of a trial."""

    format: int
    engine: str
    """``vm`` and ``uml``: the trial ran in virtual time, in a virtual machine or in User-mode Linux.

    ``native``: it ran in real time, on a machine that may also do other work.
    """
    status: Literal["ok", "failed"]
    error: NotRequired[str]
    """A message of one line that says what happened, only if the trial failed."""
    traceback: NotRequired[str]
    traffic_start_ns: int
    """CLOCK_MONOTONIC at the start of traffic; the times in the rows of collectors are relative to it."""
    traffic_end_ns: int
    """The end of traffic, measured from its start."""
    kernel: str
    versions: dict[str, str]
    sysctls: dict[str, str]
    available_congestion_control: list[str]
    flows: list[FlowResult]
    interfaces: list[InterfaceResult]
    namespaces: list[Namespace]
    counters: dict[str, dict[str, int]]
    """Node → name of a kernel counter as in ``nstat`` → its increase while traffic ran.

    Counters that did not increase are left out.
    """
    calibration: list[PathCalibration]
    cpu: Cpu
    pressure: Pressure | None
    """None in virtual time, which other work on the machine cannot disturb."""
    collectors: dict[str, CollectorResult]
    """The rows of each collector.

    They include ``latency``, the rows of the probes, and ``completions``, those of short flows, if there are any.
    """
