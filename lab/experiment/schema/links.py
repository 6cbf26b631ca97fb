# SPDX-License-Identifier: Apache-2.0
"""The fields of a link in an experiment file: rate, queue, and impairments of packets on the wire.

To add an impairment, add a field to :class:`Link` and :class:`Reverse`, and its meaning to
:mod:`lab.experiment.resolve.wires`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue

from lab.experiment.schema.base import Model
from lab.experiment.schema.capacity import CapacityFile
from lab.experiment.schema.short import Or
from lab.experiment.schema.types import (
    DurationNs,
    LossProbability,
    PositiveDurationNs,
    PositiveProbability,
    Probability,
    QueueLimit,
    RateBps,
    ScheduledLossProbability,
    TcParameters,
)
from lab.names import Discipline

__all__ = [
    "FourState",
    "GilbertElliott",
    "Jitter",
    "Link",
    "ListedLoss",
    "Loss",
    "Queue",
    "RandomLoss",
    "Reorder",
    "Reverse",
    "ScheduledRandomLoss",
    "Step",
]

# Defaults as they are written in a file.  Without them the JSON Schema would show the defaults in base units.
NO_TIME: dict[str, JsonValue] = {"default": "0ms"}
NONE_OF_THEM: dict[str, JsonValue] = {"default": "0%"}
ALL_OF_THEM: dict[str, JsonValue] = {"default": "100%"}


class Queue(Model):
    """The queue in front of a rate limit."""

    discipline: Discipline = Field(
        default="bfifo",
        description="Name of the queue discipline in tc: a FIFO limited in bytes (bfifo) or packets (pfifo), a "
        "scheduler, or an AQM.",
    )
    limit: QueueLimit | None = Field(
        default=None,
        description="How much the queue holds, in BDPs, bytes, packets or queueing delay. Default: 1bdp for bfifo, "
        "pfifo and red; for others the kernel's.",
    )
    parameters: TcParameters = Field(
        default={},
        description="Further parameters of the queue discipline, as tc spells them, such as target: 5ms; true for a "
        "parameter without a value.",
    )


class RandomLoss(Model):
    """Random loss: each packet is lost with the same probability."""

    model: Literal["random"] = Field(description="Random loss (netem's 'loss random').")
    probability: LossProbability = Field(description="Probability that a packet is lost.")
    correlation: Probability = Field(
        default=0.0,
        description="Correlation of each random number with the previous one, as netem implements it. With it, far "
        "fewer packets are lost than 'probability' says.",
        json_schema_extra=NONE_OF_THEM,
    )


class ScheduledRandomLoss(RandomLoss):
    """Random loss from some time on, which may be that of all packets."""

    probability: ScheduledLossProbability = Field(
        description="Probability that a packet is lost; 100% if the link is down."
    )


class GilbertElliott(Model):
    """The Gilbert-Elliott model of bursts of loss: a good and a bad state, each with its own loss probability."""

    model: Literal["gemodel"] = Field(description="The Gilbert-Elliott model (netem's 'loss gemodel').")
    p: PositiveProbability = Field(description="Per-packet probability of moving from the good to the bad state.")
    r: PositiveProbability = Field(
        description="Per-packet probability of moving from the bad to the good state; the bad state lasts 1/r packets "
        "on average."
    )
    bad_loss: Probability = Field(
        default=1.0,
        description="Probability that a packet is lost in the bad state (1-h in tc).",
        json_schema_extra=ALL_OF_THEM,
    )
    good_loss: Probability = Field(
        default=0.0,
        description="Probability that a packet is lost in the good state (1-k in tc).",
        json_schema_extra=NONE_OF_THEM,
    )


class FourState(Model):
    """netem's four-state Markov model: good (1), received in a burst (2), lost in a burst (3), isolated loss (4)."""

    model: Literal["state"] = Field(description="The four-state Markov model (netem's 'loss state').")
    p13: PositiveProbability = Field(
        description="Per-packet probability of moving from the good state (1) to loss in a burst (3)."
    )
    p31: PositiveProbability = Field(
        description="Per-packet probability of moving from loss in a burst (3) to the good state (1)."
    )
    p32: Probability = Field(
        default=0.0,
        description="Per-packet probability of moving from loss in a burst (3) to a received packet in the burst (2).",
        json_schema_extra=NONE_OF_THEM,
    )
    p23: Probability = Field(
        default=1.0,
        description="Per-packet probability of moving from a received packet in a burst (2) back to loss (3).",
        json_schema_extra=ALL_OF_THEM,
    )
    p14: Probability = Field(
        default=0.0,
        description="Per-packet probability of moving from the good state (1) to an isolated loss (4).",
        json_schema_extra=NONE_OF_THEM,
    )


class ListedLoss(Model):
    """Loss of exactly the listed packets."""

    model: Literal["list"] = Field(description="The packets that are lost are listed by number.")
    packets: list[Annotated[int, Field(ge=1, le=2**32 - 1)]] = Field(
        min_length=1,
        max_length=10_000,
        description="Numbers of the packets that are lost. Only packets of at least half the MTU are counted, from 1, "
        "beginning at the start of traffic.",
        examples=[[100, 101, 250]],
    )


def _as_random_loss(value: Any) -> Any:
    return value if isinstance(value, Mapping | RandomLoss) else {"model": "random", "probability": value}


def _as_jitter(value: Any) -> Any:
    return value if value is None or isinstance(value, Mapping | Jitter) else {"spread": value}


def _as_reorder(value: Any) -> Any:
    return value if value is None or isinstance(value, Mapping | Reorder) else {"probability": value}


Loss = Annotated[
    RandomLoss | GilbertElliott | FourState | ListedLoss,
    Field(discriminator="model"),
]


class Jitter(Model):
    """Variation of the delay from packet to packet."""

    spread: PositiveDurationNs = Field(
        description="How much the delay varies: half the width of the uniform distribution, or the standard deviation "
        "of the other distributions."
    )
    distribution: Literal["uniform", "normal", "pareto", "paretonormal"] = Field(
        default="uniform", description="Distribution of the delays."
    )
    correlation: Probability = Field(
        default=0.0,
        description="Correlation of each delay with the previous one.",
        json_schema_extra=NONE_OF_THEM,
    )
    keep_order: bool = Field(
        default=False, description="Whether packets stay in order. If not, jitter lets packets overtake each other."
    )


class Reorder(Model):
    """Reordering: some packets are not delayed and overtake the packets before them."""

    probability: PositiveProbability = Field(description="Probability that a packet is sent without delay.")
    gap: int = Field(
        default=0,
        ge=0,
        le=2**31,
        description="If N, at least N - 1 packets are delayed between two that are reordered, so that one in "
        "N - 1 + 1/probability packets is reordered; 0: any packet can be.",
    )
    correlation: Probability = Field(
        default=0.0,
        description="Correlation of each random number with the previous one, as netem implements it.",
        json_schema_extra=NONE_OF_THEM,
    )


ScheduledLoss = Annotated[
    ScheduledRandomLoss | GilbertElliott | FourState | ListedLoss,
    Field(discriminator="model"),
]

LossField = Annotated[Loss, BeforeValidator(_as_random_loss), Or(LossProbability)]
ScheduledLossField = Annotated[ScheduledLoss, BeforeValidator(_as_random_loss), Or(ScheduledLossProbability)]
JitterField = Annotated[Jitter, BeforeValidator(_as_jitter), Or(PositiveDurationNs)]
ReorderField = Annotated[Reorder, BeforeValidator(_as_reorder), Or(PositiveProbability)]


class Reverse(Model):
    """Settings of a link's reverse direction, such as that from the receivers to the senders."""

    rate: RateBps | None = Field(
        default=None, description="Rate in the reverse direction. Default: that of the forward direction."
    )
    delay: DurationNs | None = Field(
        default=None,
        description="One-way propagation delay in the reverse direction. Default: that of the forward direction.",
    )
    queue: Queue | None = Field(
        default=None,
        description="Queue in the reverse direction. Default: that of the forward direction, with 'limit' applied to "
        "the rate of the reverse direction.",
    )
    loss: LossField = Field(
        default=RandomLoss(model="random", probability=0.0),
        description="Loss of packets (mostly ACKs) in the reverse direction: a probability of independent random loss, "
        "or a loss model.",
        json_schema_extra=NONE_OF_THEM,
    )
    jitter: JitterField | None = Field(
        default=None, description="Variation of the delay in the reverse direction. Default: none."
    )
    duplicate: Probability = Field(
        default=0.0,
        description="Probability that a packet in the reverse direction arrives twice.",
        json_schema_extra=NONE_OF_THEM,
    )
    corrupt: Probability = Field(
        default=0.0,
        description="Probability that one bit of a packet in the reverse direction is flipped.",
        json_schema_extra=NONE_OF_THEM,
    )
    reorder: ReorderField | None = Field(
        default=None, description="Reordering of packets in the reverse direction. Default: none."
    )
    schedule: list[Step] = Field(
        default=[],
        description="Changes of the reverse direction while traffic runs. Default: none; the schedule of the forward "
        "direction does not apply.",
    )
    capacity: CapacityFile | None = Field(
        default=None,
        description="Path of a capacity file in mahimahi's format, which replaces 'rate' in the reverse direction. "
        "Default: none.",
    )


class Step(Model):
    """A change of a link at a given time; fields that are not given stay as they were."""

    at: DurationNs = Field(description="Time of the change, measured from the start of traffic.")
    over: PositiveDurationNs | None = Field(
        default=None,
        description="If given, the change is a ramp of rate, delay or random loss that takes this long. Default: the "
        "change is immediate.",
    )
    every: PositiveDurationNs | None = Field(
        default=None, description="Time between the steps of a ramp. Default: a twentieth of the ramp."
    )
    rate: RateBps | None = Field(default=None, description="New rate.")
    delay: DurationNs | None = Field(default=None, description="New one-way propagation delay.")
    loss: ScheduledLossField | None = Field(
        default=None, description="New loss: a probability, or a loss model. With 100%, the link is down."
    )
    jitter: JitterField | None = Field(default=None, description="New variation of the delay.")
    duplicate: Probability | None = Field(default=None, description="New probability that a packet arrives twice.")
    corrupt: Probability | None = Field(
        default=None, description="New probability that one bit of a packet is flipped."
    )
    reorder: ReorderField | None = Field(default=None, description="New reordering of packets.")
    queue: Queue | None = Field(
        default=None, description="New limit and parameters of the queue; its discipline cannot change."
    )


class Link(Model):
    """A link with its two directions: its rate, the queue in front of it, and impairments of packets on the wire."""

    rate: RateBps | None = Field(
        default=None,
        description="Rate in each direction, which counts packets with their Ethernet headers. Default: not limited.",
    )
    delay: DurationNs = Field(
        default=0, description="One-way propagation delay in each direction.", json_schema_extra=NO_TIME
    )
    loss: LossField = Field(
        default=RandomLoss(model="random", probability=0.0),
        description="Loss of packets in the forward direction: a probability of independent random loss, or a loss "
        "model.",
        json_schema_extra=NONE_OF_THEM,
    )
    queue: Queue | None = Field(
        default=None,
        description="The queue in front of the link in each direction; it needs a rate. Default: bfifo of 1bdp.",
    )
    jitter: JitterField | None = Field(
        default=None,
        description="Variation of the delay in the forward direction: a duration, or a mapping with details. Default: "
        "none.",
    )
    duplicate: Probability = Field(
        default=0.0,
        description="Probability that a packet in the forward direction arrives twice.",
        json_schema_extra=NONE_OF_THEM,
    )
    corrupt: Probability = Field(
        default=0.0,
        description="Probability that one bit of a packet in the forward direction is flipped.",
        json_schema_extra=NONE_OF_THEM,
    )
    reorder: ReorderField | None = Field(
        default=None,
        description="Reordering of packets in the forward direction: a probability, or a mapping with details. "
        "Default: none.",
    )
    schedule: list[Step] = Field(
        default=[], description="Changes of the forward direction while traffic runs. Default: none."
    )
    capacity: CapacityFile | None = Field(
        default=None,
        description="Path, relative to the experiment file, of a capacity file in mahimahi's format, which replaces "
        "'rate' in the forward direction: it lists the times in ms at which a full-size packet may leave. Default: "
        "none.",
    )
    reverse: Reverse = Field(
        default=Reverse(), description="Settings of the reverse direction that differ from the forward direction."
    )


Reverse.model_rebuild()
