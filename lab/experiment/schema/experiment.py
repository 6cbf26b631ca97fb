# SPDX-License-Identifier: Apache-2.0
"""The models of an experiment file.  This module does no I/O.

The models check the value of each field by itself; :mod:`lab.experiment.check` checks the rules between fields.

Links and their impairments are in :mod:`lab.experiment.schema.links`, topologies in
:mod:`lab.experiment.schema.topologies`.  To add a collector, add a model and a field to
:mod:`lab.experiment.schema.collect`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lab.experiment.schema.amounts import Amount
from lab.experiment.schema.base import Model
from lab.experiment.schema.collect import Collect, TcpProbe
from lab.experiment.schema.congestion import Algorithm
from lab.experiment.schema.expect import Expected
from lab.experiment.schema.kernel import Kernel
from lab.experiment.schema.links import NO_TIME
from lab.experiment.schema.report import Report
from lab.experiment.schema.topologies import Topology
from lab.experiment.schema.types import (
    CongestionControl,
    DurationNs,
    EndNs,
    FlowName,
    ModuleParameter,
    Name,
    NodePattern,
    PositiveDurationNs,
    RateBps,
    SizeBytes,
    SocketBuffer,
    SysctlName,
    SysctlValue,
    TcParameters,
)
from lab.job import kernels
from lab.names import Discipline

__all__ = ["Arrivals", "Calibration", "Experiment", "Flow", "HostQueue", "HostSettings", "LatencyProbe", "Measure"]


class Measure(Model):
    """The measured window: the part of a trial over which figures are averaged, such as all but a warm-up."""

    start: DurationNs = Field(
        default=0,
        alias="from",
        description="Start of the window, measured from the start of traffic, whenever the flow starts.",
        json_schema_extra=NO_TIME,
    )
    end: EndNs = Field(
        default="end",
        alias="to",
        description="End of the window, measured from the start of traffic. end: the end of each flow.",
    )


class Arrivals(Model):
    """Short flows: each is a connection that sends an amount of data, and whose completion time is recorded."""

    per_second: Annotated[float, Field(gt=0, le=10_000)] = Field(
        description="Mean number of short flows that start in each second."
    )
    process: Literal["poisson", "constant"] = Field(
        default="poisson",
        description="Arrival process. poisson: flows start independently of each other at random times; constant: "
        "flows start at equal intervals.",
    )


class Flow(Model):
    """One flow, or several with the same settings; by default, iperf3 sends as fast as congestion control allows."""

    source: str = Field(
        alias="from",
        description="The host that sends, such as s1; {i} is replaced by the number of the flow (see 'count').",
        examples=["s1"],
    )
    destination: str = Field(
        alias="to",
        description="The host that receives, such as d1; {i} is replaced by the number of the flow (see 'count').",
        examples=["d1"],
    )
    protocol: Literal["tcp", "udp"] = Field(
        default="tcp",
        description="Transport protocol. A UDP flow sends datagrams at its 'rate', whether they arrive or not.",
    )
    cc: Algorithm = Field(
        default="cubic",
        description="Congestion control algorithm of a TCP flow: its name in the kernel, or the path of your own, "
        "written in C (*.bpf.c, relative to the folder of this file). A mapping of 'name' and 'source' gives your own "
        "another name; one of 'name' and 'module' names the source of a kernel module (*.c).",
    )
    start: DurationNs = Field(
        default=0,
        description="When the flow starts, measured from the start of traffic.",
        json_schema_extra=NO_TIME,
    )
    duration: PositiveDurationNs | None = Field(
        default=None, description="How long the flow sends, in whole seconds. Default: until the end of the experiment."
    )
    count: int = Field(
        default=1,
        ge=1,
        le=200,
        description="Number of flows with these settings. Several flows are called NAME-1, NAME-2 …; a single flow is "
        "called NAME.",
    )
    every: DurationNs = Field(
        default=0,
        description="With 'count': time between the starts of one flow and the next.",
        json_schema_extra=NO_TIME,
    )
    direction: Literal["forward", "reverse", "both"] = Field(
        default="forward",
        description="Direction of the data. forward: the host in 'from' sends; reverse: the host in 'to' sends, as "
        "with iperf3's --reverse; both: one flow in each direction.",
    )
    amount: Amount | None = Field(
        default=None,
        description="How much each flow sends before it ends: a size, or a distribution of sizes. Default: as much as "
        "it can send in its duration.",
    )
    arrivals: Arrivals | None = Field(
        default=None,
        description="Replaces the flow by many short flows, which start one after the other and send an 'amount' each.",
    )
    rate: RateBps | None = Field(
        default=None,
        description="Rate limit of the sending application (iperf3's --bitrate). Default: not limited.",
    )
    pacing: RateBps | None = Field(
        default=None,
        description="Highest rate at which the kernel paces segments (iperf3's --fq-rate). Default: the rate that "
        "congestion control chooses.",
    )
    message: SizeBytes | None = Field(
        default=None,
        description="Size of each write of the sending application (iperf3's --length). Default: 128 KiB for TCP, a "
        "full packet for UDP.",
    )
    mss: int | None = Field(
        default=None,
        ge=88,
        le=9216,
        description="Largest TCP segment in bytes, without headers (iperf3's --set-mss). Default: the kernel's choice.",
    )
    on: PositiveDurationNs | None = Field(
        default=None,
        description="For on-off traffic: how long the flow sends each time, in whole seconds. Default: it sends all "
        "the time.",
    )
    off: PositiveDurationNs | None = Field(
        default=None,
        description="For on-off traffic: how long the flow pauses after each time it sends. Default: it does not "
        "pause.",
    )
    measure: Measure | None = Field(
        default=None,
        description="The measured window of this flow, which replaces the experiment's 'measure' as a whole. Default: "
        "that of the experiment.",
    )


class LatencyProbe(Model):
    """A probe that sends small requests at intervals and records the delay of each response: latency under load."""

    kind: Literal["ping", "tcp", "udp"] = Field(
        default="ping",
        description="ping: ICMP echo requests; udp: datagrams; tcp: requests over one connection, each of which waits "
        "for the response to the previous one.",
    )
    source: str = Field(alias="from", description="The host that sends the requests.", examples=["s1"])
    destination: str = Field(alias="to", description="The host that responds.", examples=["d1"])
    interval: PositiveDurationNs = Field(
        default=100_000_000,
        description="Time between one request and the next.",
        json_schema_extra={"default": "100ms"},
    )
    request: SizeBytes = Field(
        default=64, description="Size of a request, without headers.", json_schema_extra={"default": "64B"}
    )
    response: SizeBytes = Field(
        default=64,
        description="Size of a response, without headers; the response to a ping is as large as the request.",
        json_schema_extra={"default": "64B"},
    )
    start: DurationNs = Field(
        default=0,
        description="When the probe starts, measured from the start of traffic.",
        json_schema_extra=NO_TIME,
    )
    duration: PositiveDurationNs | None = Field(
        default=None, description="How long the probe sends requests. Default: until the end of the experiment."
    )
    measure: Measure | None = Field(
        default=None,
        description="The measured window of this probe, which replaces the experiment's 'measure' as a whole. Default: "
        "that of the experiment.",
    )


class HostQueue(Model):
    """The queue discipline on those interfaces of a node that have no rate limit."""

    discipline: Discipline = Field(
        description="Name of the queue discipline in tc; fq paces each flow that asks for pacing."
    )
    parameters: TcParameters = Field(
        default={}, description="Parameters of the queue discipline, including its limit, as tc spells them."
    )


class HostSettings(Model):
    """Settings of some of the nodes."""

    sysctl: dict[SysctlName, SysctlValue] = Field(
        default={},
        description="Sysctls under net.*, set in the nodes' own network namespaces; the guest's kernel must have them.",
        examples=[{"net.ipv4.tcp_slow_start_after_idle": 0}],
    )
    initial_window: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Initial congestion window in segments. Default: the kernel's, 10."
    )
    queue: HostQueue | None = Field(
        default=None,
        description="Queue discipline on the nodes' interfaces that have no rate limit. Default: no queue, as is usual "
        "for veth.",
    )
    offloads: bool | None = Field(
        default=None,
        description="Whether TSO, GSO and GRO are on at these nodes. Default: the experiment's 'offloads'.",
    )


class Calibration(Model):
    """Measurements on the path of each flow before traffic starts, which show whether the path is as declared."""

    pings: int = Field(
        default=3, ge=0, le=1000, description="Number of echo requests that measure the base RTT of each path."
    )


class Experiment(Model):
    """One experiment file."""

    name: Name = Field(description="Name of the experiment; its results are stored in a folder of this name.")
    title: str = Field(default="", description="Title of the experiment, in one line; it is the heading of the report.")
    description: str = Field(default="", description="The question that the experiment asks, and the expected result.")
    topology: Topology = Field(description="The hosts, routers and switches, and the links between them.")
    flows: dict[FlowName, Flow] = Field(min_length=1, description="Name of a flow → its settings.")
    probes: dict[FlowName, LatencyProbe] = Field(
        default={},
        description="Name of a probe → its settings. A probe measures the latency that other traffic experiences while "
        "the flows run.",
    )
    duration: PositiveDurationNs = Field(description="How long traffic lasts in each trial, in virtual time.")
    measure: Measure | None = Field(
        default=None,
        description="The measured window: the part of each trial that figures and tables average, such as all but a "
        "warm-up. Figures over time still show the whole trial. Default: the whole time of each flow.",
        examples=[{"from": "5s", "to": "end"}],
    )
    engine: Literal["vm", "uml", "native"] = Field(
        default="vm",
        description="Where trials run. vm: in virtual machines, in virtual time; uml: in User-mode Linux, in virtual "
        "time and many times faster; native: on this host's own kernel, in real time, as root.",
    )
    kernel: Kernel | None = Field(
        default=None,
        description="The kernel that all nodes run on. With the engine vm: one of Debian's kernels, also of a certain "
        "version, or the path of a Debian package that contains another kernel. With uml: a kernel that lab compiles "
        "from Debian's source. "
        f"Default: {kernels.DEFAULT} with vm, {kernels.DEFAULT_UML} with uml.",
        examples=["debian-12", "debian-13=6.12.115-1", "../linux-image-6.18.0.deb", "uml-7.3"],
    )
    start_jitter: DurationNs = Field(
        default=0,
        description="Each flow is shifted by a random time between zero and this one, drawn from the seed of the "
        "trial; both its start and its end move.",
        json_schema_extra=NO_TIME,
    )
    matrix: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default={},
        description="Path of a field, such as flows.bulk.cc → the values to compare. Each combination of values is a "
        "cell.",
        examples=[{"flows.bulk.cc": ["cubic", "bbr"], "topology.bottleneck.loss": ["0%", "1%"]}],
    )
    repeat: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Number of trials of each cell (repetitions); each repetition has its own seed.",
    )
    seed: int = Field(
        default=1,
        ge=0,
        le=2**63 - 1,
        description="Seed from which all random numbers are derived: the same seed gives the same results.",
    )
    collect: Collect = Field(
        default=Collect(tcp_probe=TcpProbe()),
        description="The collectors that record events in the kernel, in addition to iperf3's results; {} records "
        "nothing. Default: tcp_probe.",
    )
    hosts: dict[NodePattern, HostSettings] = Field(
        default={},
        description="Name of a node, or a pattern such as s* → settings of the nodes that match.",
        examples=[{"s*": {"initial_window": 4}}],
    )
    modules: dict[CongestionControl, dict[ModuleParameter, SysctlValue]] = Field(
        default={},
        description="Congestion control algorithm → parameters of its kernel module, which apply to all nodes.",
        examples=[{"cubic": {"hystart": 0}}],
    )
    ip: Literal["ipv4", "ipv6"] = Field(default="ipv4", description="Version of the Internet Protocol.")
    mtu: int = Field(
        default=1500, ge=576, le=65535, description="Size of the largest IP packet on each interface, in bytes."
    )
    offloads: bool = Field(
        default=False,
        description="Whether to leave TSO, GSO and GRO on. If they are on, a single packet in a queue may have up to "
        "64 KiB.",
    )
    ecn: Literal["off", "on", "passive"] = Field(
        default="off",
        description="Use of ECN (the sysctl tcp_ecn). off: never; on: requested for each connection; passive: only if "
        "the other end requests it.",
    )
    socket_buffer: SocketBuffer = Field(
        default="auto",
        description="Largest size of TCP's send and receive buffers. auto: large enough never to limit a flow.",
    )
    bin_width: PositiveDurationNs = Field(
        default=10_000_000,
        description="Width of the bins of time in which the packets of flows and the lengths of queues are counted, "
        "from 1 ms to 100 ms.",
        json_schema_extra={"default": "10ms"},
    )
    expect: list[Expected] = Field(
        default=[],
        description="Conditions on what the trials measure. They are checked at the end of the run, which fails if one "
        "of them is not met. They have no effect on trials.",
        examples=[["jain >= 0.95", {"that": "p95(rtt) <= 60ms", "because": "calls must stay usable"}]],
    )
    report: Report = Field(default=Report(), description="Figures of the report. They have no effect on trials.")
    calibration: Calibration = Field(
        default=Calibration(), description="Measurements on the path of each flow before traffic starts."
    )
