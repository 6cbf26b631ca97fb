# SPDX-License-Identifier: Apache-2.0
"""What an experiment can have recorded: each collector's options.  No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lab.experiment.schema.base import Model
from lab.experiment.schema.types import DurationNs, PositiveDurationNs

__all__ = ["Collect", "TcpProbe"]


class Selection(Model):
    """Which connections are recorded."""

    port: int | None = Field(
        default=None, ge=1, le=65535, description="A port that either end has. Default: the flows' ports."
    )
    host: str | None = Field(
        default=None, description="A host, by name or address, that is either end.", examples=["s1", "10.0.0.2"]
    )
    source: str | None = Field(default=None, description="A host that is the local end; of packets, the sender.")
    destination: str | None = Field(
        default=None, description="A host that is the remote end; of packets, the receiver."
    )


class TcpProbe(Selection):
    """Congestion state at every segment, as the tcpprobe module had it, and what the socket and the algorithm know."""

    record: Literal["every_ack", "cwnd_change"] = Field(
        default="every_ack",
        description="A row for every segment that arrives, or only when cwnd or ssthresh has changed.",
    )
    ends: Literal["senders", "receivers", "both"] = Field(
        default="senders", description="At which end of the flows: where ACKs arrive, where data arrive, or both."
    )
    transmit: bool = Field(default=False, description="Also a row for every segment that is sent.")


class FlowBytes(Selection):
    """Bytes that each process sent and received over each connection."""

    interval: PositiveDurationNs = Field(
        default=10**9,
        description="How often totals are read; in steps of 250 ms.",
        json_schema_extra={"default": "1s"},
    )


class Window(Model):
    """A part of the traffic's time."""

    start: DurationNs = Field(alias="from", description="From the start of traffic; in steps of 250 ms.")
    end: PositiveDurationNs | None = Field(
        default=None, alias="to", description="From the start of traffic; in steps of 250 ms. Default: to the end."
    )


class Drops(Selection):
    """Every packet that the kernel drops: where, and why."""

    port: int | None = Field(default=None, ge=1, le=65535, description="A port of the packet. Default: all packets.")
    latency: bool = Field(
        default=False, description="Also how long packets take from one place in the stack to the next, as a histogram."
    )
    window: Window | None = Field(default=None, description="When it is switched on. Default: all the time.")


class Queues(Model):
    """The queue of every shaped interface over time."""

    interval: DurationNs = Field(
        default=10_000_000,
        description="A sample for every such interval in which the queue changed; 0s: none.",
        json_schema_extra={"default": "10ms"},
    )
    every_packet: bool = Field(
        default=False, description="Also a row for each packet that enters or leaves, with its time in the queue."
    )


def _defaults_for_nothing(value: Any) -> Any:
    # `tcp_probe:` with nothing after it names the collector: it must not switch it off.
    return {} if value is None else value


_NAMED = BeforeValidator(_defaults_for_nothing)


class Collect(Model):
    """Collector name → its options; a collector that is not named does not run."""

    def chosen(self) -> Iterator[tuple[str, Selection | Queues]]:
        """The collectors that run, by name, with their options."""
        for name in type(self).model_fields:
            options = getattr(self, name)
            if options is not None:
                yield name, options

    tcp_probe: Annotated[TcpProbe | None, _NAMED] = Field(
        default=None,
        description="Congestion state of every flow at every ACK, and what the algorithm keeps for itself.",
    )
    flow: Annotated[FlowBytes | None, _NAMED] = Field(
        default=None, description="Bytes sent and received by process and connection."
    )
    life: Annotated[Selection | None, _NAMED] = Field(default=None, description="One row per connection, when it ends.")
    states: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Every change of a connection's state."
    )
    retrans: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Every retransmitted segment, and why it was."
    )
    resets: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Connection resets, and their reasons."
    )
    destroy: Annotated[Selection | None, _NAMED] = Field(default=None, description="Sockets that are taken down.")
    packets: Annotated[Selection | None, _NAMED] = Field(
        default=None, description="Headers and flags of every TCP segment received."
    )
    drops: Annotated[Drops | None, _NAMED] = Field(
        default=None, description="Where each dropped packet died, and why; how long packets take along the stack."
    )
    queue: Annotated[Queues | None, _NAMED] = Field(
        default=None, description="Backlog, drops and marks of every queue over time, and each packet's time in it."
    )
