# SPDX-License-Identifier: Apache-2.0
"""The collectors that an experiment can run, and the options of each.  This module does no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lab.experiment.schema.base import Model
from lab.experiment.schema.types import DurationNs, PositiveDurationNs

__all__ = ["Collect", "TcpProbe"]


class Selection(Model):
    """The connections that a collector records."""

    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Record only connections in which one of the ends has this port. Default: the flows' ports.",
    )
    host: str | None = Field(
        default=None,
        description="Record only connections of this host, given by name or address, at either end.",
        examples=["s1", "10.0.0.2"],
    )
    source: str | None = Field(
        default=None,
        description="Record only connections whose local end is this host, or packets that this host sends.",
    )
    destination: str | None = Field(
        default=None,
        description="Record only connections whose remote end is this host, or packets that this host receives.",
    )


class TcpProbe(Selection):
    """Congestion control state at each segment: tcpprobe's columns, more socket fields, and the algorithm's state."""

    record: Literal["every_ack", "cwnd_change"] = Field(
        default="every_ack",
        description="every_ack: record a row for each segment that arrives; cwnd_change: only when cwnd or ssthresh "
        "has changed.",
    )
    ends: Literal["senders", "receivers", "both"] = Field(
        default="senders",
        description="The ends of the flows to record: senders, where ACKs arrive; receivers, where data arrive; or "
        "both.",
    )
    transmit: bool = Field(default=False, description="Record also a row for each segment that is sent.")


class FlowBytes(Selection):
    """Bytes that each process sent and received over each connection."""

    interval: PositiveDurationNs = Field(
        default=10**9,
        description="Interval at which the totals are read, in steps of 250 ms.",
        json_schema_extra={"default": "1s"},
    )


class Window(Model):
    """A period of time while traffic runs."""

    start: DurationNs = Field(
        alias="from", description="Start of the period, measured from the start of traffic, in steps of 250 ms."
    )
    end: PositiveDurationNs | None = Field(
        default=None,
        alias="to",
        description="End of the period, measured from the start of traffic, in steps of 250 ms. Default: the end of "
        "traffic.",
    )


class Drops(Selection):
    """Each packet that the kernel drops, with the place and the reason."""

    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Record only packets with this source or destination port. Default: all packets.",
    )
    latency: bool = Field(
        default=False,
        description="Record also histograms of the time that packets take from one place in the network stack to the "
        "next.",
    )
    window: Window | None = Field(
        default=None, description="The period in which the collector runs. Default: as long as traffic runs."
    )


class Queues(Model):
    """The queue of each shaped interface over time."""

    interval: DurationNs = Field(
        default=10_000_000,
        description="Sampling interval: one sample is recorded for each interval in which the queue changed. 0s: no "
        "samples.",
        json_schema_extra={"default": "10ms"},
    )
    every_packet: bool = Field(
        default=False,
        description="Record also a row for each packet that enters or leaves the queue, with the time it spent there.",
    )


def _defaults_for_nothing(value: Any) -> Any:
    # `tcp_probe:` without a value selects the collector with its default options.
    return {} if value is None else value


_NAMED = BeforeValidator(_defaults_for_nothing)


class Collect(Model):
    """Name of a collector → its options; a collector that is not named does not run."""

    def chosen(self) -> Iterator[tuple[str, Selection | Queues]]:
        """Yield the name and the options of each collector that runs."""
        for name in type(self).model_fields:
            options = getattr(self, name)
            if options is not None:
                yield name, options

    tcp_probe: Annotated[TcpProbe | None, _NAMED] = Field(
        default=None,
        description="State of congestion control of each flow at each ACK, and the internal state of the algorithm.",
    )
    flow: Annotated[FlowBytes | None, _NAMED] = Field(
        default=None, description="Bytes sent and received by each process over each connection."
    )
    life: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="One row for each connection, recorded when the connection ends."
    )
    states: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Each change of the TCP state of a connection."
    )
    retrans: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Each retransmitted segment, and the reason for the retransmission."
    )
    resets: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Resets of connections, and their reasons."
    )
    destroy: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Each TCP socket that the kernel destroys."
    )
    packets: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Header fields and flags of each TCP segment that is received."
    )
    drops: Annotated[Drops | None, _NAMED] = Field(
        default=None,
        description="Each dropped packet, with the place and the reason; also the time that packets take through the "
        "network stack.",
    )
    queue: Annotated[Queues | None, _NAMED] = Field(
        default=None,
        description="Backlog, drops and ECN marks of each queue over time, and the time that each packet spends in the "
        "queue.",
    )
