# SPDX-License-Identifier: Apache-2.0
"""A link, as a file declares it: rate, queue, and what happens to packets on the wire.

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
    TcParameters,
)

__all__ = [
    "Discipline",
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
    "Step",
]

Discipline = Literal["bfifo", "pfifo", "codel", "fq_codel", "fq", "pie", "fq_pie", "red", "sfq", "cake"]

# Defaults as a file spells them: the JSON Schema must not suggest base units.
NO_TIME: dict[str, JsonValue] = {"default": "0ms"}
NONE_OF_THEM: dict[str, JsonValue] = {"default": "0%"}
ALL_OF_THEM: dict[str, JsonValue] = {"default": "100%"}


class Queue(Model):
    """The queue in front of a rate limit."""

    discipline: Discipline = Field(
        default="bfifo",
        description="tc's name of the queue discipline: first in, first out by bytes or packets, or AQM.",
    )
    limit: QueueLimit | None = Field(
        default=None,
        description="How much it holds, in BDPs, bytes, packets or time. Default: 1bdp if a FIFO, else the kernel's.",
    )
    parameters: TcParameters = Field(
        default={}, description="Further parameters in tc's own spelling, such as target: 5ms; true for a word alone."
    )


class RandomLoss(Model):
    """Each packet by itself."""

    model: Literal["random"] = Field(description="netem's loss random.")
    probability: LossProbability = Field(description="That a packet is lost.")
    correlation: Probability = Field(
        default=0.0,
        description="With the draw before, as netem means it: far less is lost than declared then.",
        json_schema_extra=NONE_OF_THEM,
    )


class GilbertElliott(Model):
    """Two states, in each of which packets are lost with a probability of its own: bursts of loss."""

    model: Literal["gemodel"] = Field(description="netem's loss gemodel.")
    p: PositiveProbability = Field(description="That a packet finds the good state and leaves it bad.")
    r: PositiveProbability = Field(description="That a packet finds the bad state and leaves it good: 1/r in a row.")
    bad_loss: Probability = Field(
        default=1.0, description="Probability of loss in the bad state, 1-h.", json_schema_extra=ALL_OF_THEM
    )
    good_loss: Probability = Field(
        default=0.0, description="Probability of loss in the good state, 1-k.", json_schema_extra=NONE_OF_THEM
    )


class FourState(Model):
    """netem's chain of four states: good; bursts of loss (3) with good packets among them (2); single losses (4)."""

    model: Literal["state"] = Field(description="netem's loss state.")
    p13: PositiveProbability = Field(description="From good to a burst.")
    p31: PositiveProbability = Field(description="From a burst to good.")
    p32: Probability = Field(
        default=0.0, description="From loss in a burst to a good packet in it.", json_schema_extra=NONE_OF_THEM
    )
    p23: Probability = Field(default=1.0, description="And back to loss.", json_schema_extra=ALL_OF_THEM)
    p14: Probability = Field(default=0.0, description="From good to a single loss.", json_schema_extra=NONE_OF_THEM)


class ListedLoss(Model):
    """These packets and no others."""

    model: Literal["list"] = Field(description="Packets by number.")
    packets: list[Annotated[int, Field(ge=1, le=2**32 - 1)]] = Field(
        min_length=1,
        max_length=10_000,
        description="Those that are lost, from 1: of at least half the MTU, counted from the start of traffic.",
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
    """How the delay varies from packet to packet."""

    spread: PositiveDurationNs = Field(
        description="How much: half the width of the uniform distribution, the standard deviation of the others."
    )
    distribution: Literal["uniform", "normal", "pareto", "paretonormal"] = Field(
        default="uniform", description="Of the delays."
    )
    correlation: Probability = Field(
        default=0.0, description="Of each delay with the one before.", json_schema_extra=NONE_OF_THEM
    )
    keep_order: bool = Field(
        default=False, description="No packet overtakes another. Without it, jitter reorders packets."
    )


class Reorder(Model):
    """Which packets overtake: they are not delayed."""

    probability: PositiveProbability = Field(description="That a packet is sent at once.")
    gap: int = Field(default=0, ge=0, le=2**31, description="Only every so many packets; 0: any.")
    correlation: Probability = Field(
        default=0.0, description="With the draw before, as netem means it.", json_schema_extra=NONE_OF_THEM
    )


LossField = Annotated[Loss, BeforeValidator(_as_random_loss), Or(LossProbability)]
JitterField = Annotated[Jitter, BeforeValidator(_as_jitter), Or(PositiveDurationNs)]
ReorderField = Annotated[Reorder, BeforeValidator(_as_reorder), Or(PositiveProbability)]


class Reverse(Model):
    """What differs in the other direction, such as that from the receivers to the senders."""

    rate: RateBps | None = Field(default=None, description="Rate of this direction. Default: as forward.")
    delay: DurationNs | None = Field(default=None, description="Delay of this direction. Default: as forward.")
    queue: Queue | None = Field(default=None, description="Queue of this direction. Default: as forward, at this rate.")
    loss: LossField = Field(
        default=RandomLoss(model="random", probability=0.0),
        description="Packets (ACKs, mostly) that are lost: a probability (independent), or a model.",
        json_schema_extra=NONE_OF_THEM,
    )
    jitter: JitterField | None = Field(default=None, description="How the delay varies. Default: not at all.")
    duplicate: Probability = Field(
        default=0.0, description="Probability that a packet arrives twice.", json_schema_extra=NONE_OF_THEM
    )
    corrupt: Probability = Field(
        default=0.0, description="Probability that a bit of a packet is flipped.", json_schema_extra=NONE_OF_THEM
    )
    reorder: ReorderField | None = Field(default=None, description="Packets that overtake. Default: none.")
    schedule: list[Step] = Field(default=[], description="Changes of this direction. Default: none, not as forward.")
    capacity: CapacityFile | None = Field(
        default=None,
        description="A capacity file, which lists when packets may leave (mahimahi's format); it replaces 'rate'. "
        "Default: none.",
    )


class Step(Model):
    """What changes at a time; all else stays as it was."""

    at: DurationNs = Field(description="When, after the start of traffic.")
    over: PositiveDurationNs | None = Field(
        default=None, description="For a ramp of rate, delay and loss: how long it takes. Default: at once."
    )
    every: PositiveDurationNs | None = Field(
        default=None, description="The ramp's steps: how often. Default: twenty in all."
    )
    rate: RateBps | None = Field(default=None, description="The new rate.")
    delay: DurationNs | None = Field(default=None, description="The new delay.")
    loss: LossField | None = Field(default=None, description="The new loss: a probability, or a model.")
    jitter: JitterField | None = Field(default=None, description="The new jitter.")
    duplicate: Probability | None = Field(default=None, description="The new probability of arriving twice.")
    corrupt: Probability | None = Field(default=None, description="The new probability of a flipped bit.")
    reorder: ReorderField | None = Field(default=None, description="The new reordering.")
    queue: Queue | None = Field(default=None, description="The new limit and parameters, of the same discipline.")


class Link(Model):
    """A link, in its two directions: its rate and the queue in front of it, and what happens to packets on the wire."""

    rate: RateBps | None = Field(
        default=None, description="Rate, Ethernet headers included, in each direction. Default: not limited."
    )
    delay: DurationNs = Field(
        default=0, description="One-way propagation delay, in each direction.", json_schema_extra=NO_TIME
    )
    loss: LossField = Field(
        default=RandomLoss(model="random", probability=0.0),
        description="Packets that are lost on the way there: a probability (independent), or a model.",
        json_schema_extra=NONE_OF_THEM,
    )
    queue: Queue | None = Field(
        default=None,
        description="The queue in front of the link, in each direction; only with a rate. Default: bfifo of 1bdp.",
    )
    jitter: JitterField | None = Field(
        default=None, description="How the delay varies on the way there: a spread, or more. Default: not at all."
    )
    duplicate: Probability = Field(
        default=0.0, description="Probability that a packet arrives twice.", json_schema_extra=NONE_OF_THEM
    )
    corrupt: Probability = Field(
        default=0.0, description="Probability that a bit of a packet is flipped.", json_schema_extra=NONE_OF_THEM
    )
    reorder: ReorderField | None = Field(
        default=None, description="Packets that overtake those before: a probability, or more. Default: none."
    )
    schedule: list[Step] = Field(
        default=[], description="What changes while traffic runs, in the direction there. Default: nothing."
    )
    capacity: CapacityFile | None = Field(
        default=None,
        description="Instead of a rate, a file of times in ms at which a full packet may leave, in mahimahi's format. "
        "Its path is relative to the experiment file. Default: none.",
    )
    reverse: Reverse = Field(default=Reverse(), description="What differs in the other direction.")


Reverse.model_rebuild()
