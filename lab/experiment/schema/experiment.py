# SPDX-License-Identifier: Apache-2.0
"""The experiment file as types.  No I/O.

What one field may hold is checked here; what holds between fields is checked in :mod:`lab.experiment.check`.

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
from lab.experiment.schema.kernel import Kernel
from lab.experiment.schema.links import NO_TIME, Discipline
from lab.experiment.schema.topologies import Topology
from lab.experiment.schema.types import (
    CongestionControl,
    DurationNs,
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

__all__ = ["Arrivals", "Calibration", "Experiment", "Flow", "HostQueue", "HostSettings", "LatencyProbe"]


class Arrivals(Model):
    """Short flows: each is a connection of its own that sends an amount, and its completion time is recorded."""

    per_second: Annotated[float, Field(gt=0, le=10_000)] = Field(description="How many begin in a second, on average.")
    process: Literal["poisson", "constant"] = Field(
        default="poisson", description="poisson: each by itself, at any time; constant: one interval after the other."
    )


class Flow(Model):
    """One flow, or several alike: iperf3 that sends as fast as congestion control allows, unless told otherwise."""

    source: str = Field(
        alias="from", description="The host that sends, such as s1; {i} in it is the flow's number.", examples=["s1"]
    )
    destination: str = Field(
        alias="to", description="The host that receives, such as d1; {i} in it is the flow's number.", examples=["d1"]
    )
    protocol: Literal["tcp", "udp"] = Field(
        default="tcp", description="udp: datagrams at the flow's 'rate', whatever becomes of them."
    )
    cc: CongestionControl = Field(
        default="cubic", description="Congestion control of TCP, by the name that the kernel knows it under."
    )
    start: DurationNs = Field(
        default=0, description="When it starts, after the start of traffic.", json_schema_extra=NO_TIME
    )
    duration: PositiveDurationNs | None = Field(
        default=None, description="How long it sends, in whole seconds. Default: to the end."
    )
    count: int = Field(default=1, ge=1, le=200, description="So many flows, NAME-1, NAME-2 …; one is called NAME.")
    every: DurationNs = Field(
        default=0, description="Each of them starts this much after the one before.", json_schema_extra=NO_TIME
    )
    direction: Literal["forward", "reverse", "both"] = Field(
        default="forward",
        description="Who sends: reverse is as iperf3's --reverse, the host of 'to' sends; both: a flow each way.",
    )
    amount: Amount | None = Field(
        default=None,
        description="How much each sends, and then it ends: a size, or a distribution. Default: as much as it can.",
    )
    arrivals: Arrivals | None = Field(
        default=None,
        description="Not one flow but many short ones, which begin one after the other and send an amount each.",
    )
    rate: RateBps | None = Field(
        default=None, description="The application's own limit, iperf3's --bitrate. Default: none."
    )
    pacing: RateBps | None = Field(
        default=None,
        description="Most that the kernel paces segments to, iperf3's --fq-rate. Default: as congestion control says.",
    )
    message: SizeBytes | None = Field(
        default=None,
        description="What the application writes at a time, iperf3's --length. Default: 128 KiB; UDP: a full packet.",
    )
    mss: int | None = Field(
        default=None, ge=88, le=9216, description="Largest segment in bytes, headers aside. Default: the kernel's."
    )
    on: PositiveDurationNs | None = Field(
        default=None, description="For on-off traffic: how long it sends each time, in whole seconds. Default: always."
    )
    off: PositiveDurationNs | None = Field(default=None, description="And for how long it is silent. Default: never.")


class LatencyProbe(Model):
    """Small packets at intervals, whose answers' delays are recorded: latency under load."""

    kind: Literal["ping", "tcp", "udp"] = Field(
        default="ping",
        description="ping: ICMP echo; udp: datagrams; tcp: requests over one connection, each once the one before has "
        "been answered.",
    )
    source: str = Field(alias="from", description="The host that asks.", examples=["s1"])
    destination: str = Field(alias="to", description="The host that answers.", examples=["d1"])
    interval: PositiveDurationNs = Field(
        default=100_000_000, description="From one to the next.", json_schema_extra={"default": "100ms"}
    )
    request: SizeBytes = Field(
        default=64, description="Bytes of a request, headers aside.", json_schema_extra={"default": "64B"}
    )
    response: SizeBytes = Field(
        default=64,
        description="Bytes of an answer; of ping as many as of the request.",
        json_schema_extra={"default": "64B"},
    )
    start: DurationNs = Field(
        default=0, description="When it begins, after the start of traffic.", json_schema_extra=NO_TIME
    )
    duration: PositiveDurationNs | None = Field(default=None, description="How long it asks. Default: to the end.")


class HostQueue(Model):
    """The queue discipline of a host's own interfaces, where they have no rate."""

    discipline: Discipline = Field(description="tc's name of it; fq paces every flow that asks for pacing.")
    parameters: TcParameters = Field(default={}, description="Its parameters in tc's own spelling, limit included.")


class HostSettings(Model):
    """What is special about some nodes."""

    sysctl: dict[SysctlName, SysctlValue] = Field(
        default={},
        description="net.* settings of the nodes' own namespaces; the guest's kernel must have them.",
        examples=[{"net.ipv4.tcp_slow_start_after_idle": 0}],
    )
    initial_window: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Of the congestion window, in segments. Default: the kernel's, 10."
    )
    queue: HostQueue | None = Field(
        default=None, description="The discipline of their interfaces that have no rate. Default: none, as veth has."
    )
    offloads: bool | None = Field(default=None, description="TSO, GSO and GRO of these nodes. Default: as the others.")


class Calibration(Model):
    """What is measured on each flow's path before the traffic, to show that the path is as declared."""

    pings: int = Field(default=3, ge=0, le=1000, description="Echo requests that measure the path's base RTT.")


class Experiment(Model):
    """One experiment file."""

    name: Name = Field(description="Name of the experiment; its results are stored under it.")
    title: str = Field(default="", description="One line that heads the report.")
    description: str = Field(default="", description="What the experiment asks, and what to look for in the answer.")
    topology: Topology = Field(description="The hosts, the routers and the links between them.")
    flows: dict[FlowName, Flow] = Field(min_length=1, description="Flow name → the flow.")
    probes: dict[FlowName, LatencyProbe] = Field(
        default={}, description="Name → a probe of the latency that other traffic meets beside the flows."
    )
    duration: PositiveDurationNs = Field(description="How long traffic lasts in each trial, in virtual time.")
    kernel: Kernel = Field(
        default=kernels.DEFAULT,
        description="The kernel of all nodes: Debian's, or the path of a package with another.",
        examples=["debian-12", "../linux-image-6.18.0.deb"],
    )
    start_jitter: DurationNs = Field(
        default=0,
        description="Each flow starts, and ends, up to this much later: drawn from the trial's seed.",
        json_schema_extra=NO_TIME,
    )
    matrix: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default={},
        description="Path of a field, such as flows.bulk.cc → the values to compare; every combination is a cell.",
        examples=[{"flows.bulk.cc": ["cubic", "bbr"], "topology.bottleneck.loss": ["0%", "1%"]}],
    )
    repeat: int = Field(default=1, ge=1, le=10_000, description="Trials of every cell, each with a seed of its own.")
    seed: int = Field(
        default=1, ge=0, le=2**63 - 1, description="All randomness derives from it: same seed, same results."
    )
    collect: Collect = Field(
        default=Collect(tcp_probe=TcpProbe()),
        description="What to record besides iperf3's figures. Default: tcp_probe; {} for nothing.",
    )
    hosts: dict[NodePattern, HostSettings] = Field(
        default={},
        description="Name of a node, or a pattern such as s* → what is special about it.",
        examples=[{"s*": {"initial_window": 4}}],
    )
    modules: dict[CongestionControl, dict[ModuleParameter, SysctlValue]] = Field(
        default={},
        description="Congestion control → parameters of its kernel module, for all nodes.",
        examples=[{"cubic": {"hystart": 0}}],
    )
    ip: Literal["ipv4", "ipv6"] = Field(default="ipv4", description="Version of the Internet Protocol.")
    mtu: int = Field(default=1500, ge=576, le=65535, description="Largest IP packet in bytes, on every interface.")
    offloads: bool = Field(
        default=False, description="Leave TSO, GSO and GRO on: then one packet in a queue may be up to 64 KiB."
    )
    ecn: Literal["off", "on", "passive"] = Field(
        default="off", description="tcp_ecn: never, always requested, or only when the other end requests it."
    )
    socket_buffer: SocketBuffer = Field(
        default="auto", description="Largest TCP send and receive buffer. auto: large enough never to limit a flow."
    )
    calibration: Calibration = Field(
        default=Calibration(), description="What is measured on each path before the traffic starts."
    )
