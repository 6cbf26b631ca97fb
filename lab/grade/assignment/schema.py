# SPDX-License-Identifier: Apache-2.0
"""The fields of an assignment file and of a teacher's file of hidden parts.  This module does no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lab.experiment.schema.base import Model
from lab.experiment.schema.report import Figure
from lab.experiment.schema.short import Or
from lab.experiment.schema.types import Name, PositiveDurationNs, SizeBytes
from lab.units import show

__all__ = ["Assignment", "Criterion", "Handed", "Hidden", "Interfaces", "Limits", "Scenario", "Tournament", "kind_of"]

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_ID = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def _file_name(value: str) -> str:
    if not _FILE.fullmatch(value):
        raise ValueError(f"found {show(value)}; expected the name of a file without folders, such as my_cc.bpf.c")
    return value


def _inside(value: str) -> str:
    parts = value.split("/")
    if not value or value.startswith("/") or "\0" in value or any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"found {show(value)}; expected the path of a file below this folder, such as scenarios/a.yaml"
        )
    return value


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        found = f"found {show(value)}; expected a short name of lower-case letters, digits, '_' and '-'"
        raise ValueError(f"{found}, such as sawtooth")
    return value


FileName = Annotated[str, AfterValidator(_file_name)]
"""The name of a file that students hand in."""
Inside = Annotated[str, AfterValidator(_inside)]
"""The path of a file in the folder of the assignment."""
Id = Annotated[str, AfterValidator(_id)]
"""The name of a scenario, a criterion or an answer."""


class Handed(Model):
    """A file that students hand in."""

    kind: Literal["congestion control", "experiment", "answers"] = Field(
        description="congestion control: the source of an algorithm, which scenarios name in 'cc'; experiment: a YAML "
        "file with fields of the scenarios, in which only those in 'may_change' may be given; answers: a YAML file "
        "that "
        "maps names to answers."
    )
    optional: bool = Field(default=False, description="Whether a submission is complete without this file.")
    most: SizeBytes = Field(
        default=64 * 1024, description="The largest size of the file.", json_schema_extra={"default": "64KiB"}
    )
    may_change: list[str] = Field(
        default=[],
        description="Of an experiment: the paths of the fields that students may set; whatever is in such a field may "
        "be set, too.",
        examples=[["topology.links.uplink.queue", "flows.download.cc"]],
    )
    may_not_use: list[str] = Field(
        default=[],
        description="Of a congestion control: names that may not occur in the source, such as functions of the kernel "
        "that would solve the task; name* stands for all names with this beginning.",
        examples=[["tcp_reno_*", "cubictcp_*"]],
    )


class Scenario(Model):
    """An experiment in which submissions are run."""

    file: Inside = Field(
        description="The experiment, relative to the folder of this file.", examples=["scenarios/sawtooth.yaml"]
    )
    overrides: dict[str, Any] = Field(
        default={},
        alias="set",
        description="Path of a field → the value that replaces that of the experiment.",
        examples=[{"topology.bottleneck.loss": "1%"}],
    )
    changeable: bool = Field(
        default=True, description="Whether the fields that students set in an experiment of theirs apply here."
    )
    title: str = Field(default="", description="What the scenario is called in reports. Default: its name.")


def _as_scenario(value: Any) -> Any:
    if isinstance(value, str):
        return {"file": value}
    if not isinstance(value, Mapping | Model):
        found = f"found {show(value)}; expected the path of an experiment, or a mapping with 'file'"
        raise ValueError(found)
    return value


ScenarioOrFile = Annotated[Scenario, BeforeValidator(_as_scenario), Or(str)]


class Criterion(Model):
    """What points are given for: a condition, a value on a scale, an answer, or a question that a person grades."""

    points: float = Field(gt=0, le=1000, description="The most points that the criterion gives.")
    title: str = Field(default="", description="What the criterion is called. Default: its name.")
    scenario: Id | None = Field(default=None, description="The scenario in which a condition or a value is looked at.")
    that: str | None = Field(
        default=None,
        description="A condition, as in 'expect:' of an experiment: all points if it is met, otherwise none.",
        examples=["goodput(flow=mine) >= 0.9 * goodput(flow=reference)"],
    )
    value: str | None = Field(
        default=None,
        description="A value in the language of 'expect:', which gives points on the scale from 'none' to 'full'.",
        examples=["utilisation"],
    )
    full: str | None = Field(
        default=None,
        description="The value from which on all points are given. With an 'answer': the error, as a percentage of the "
        "measured value, up to which all points are given.",
        examples=["90%", "0.95 * goodput(flow=reference)"],
    )
    none: str | None = Field(
        default=None,
        description="The value from which on no points are given; points rise linearly from here to 'full'.",
        examples=["60%"],
    )
    over: Literal["worst", "mean"] = Field(
        default="worst",
        description="What counts if the scenario has several cells, or several flows have the value. worst: the case "
        "with the fewest points; mean: the mean of the points of all cases.",
    )
    answer: Id | None = Field(
        default=None, description="The name of an answer in the file of answers, which is compared or shown."
    )
    choice: str | None = Field(default=None, description="The right answer; case and spaces at its ends do not count.")
    question: str | None = Field(
        default=None,
        description="A question whose answer a person reads and gives points for; 'answer' names the answer in the "
        "file of answers, if it is there.",
    )
    because: str = Field(default="", description="Why this is asked for, or a hint; the student's page shows it.")
    figure: Figure | None = Field(
        default=None,
        description="The figure that shows why, as in 'report.figures' of an experiment. Default: one that shows what "
        "the condition names.",
    )


class Limits(Model):
    """What a submission may use."""

    scenario: PositiveDurationNs = Field(
        default=1800 * 10**9,
        description="The longest time that a scenario may take on the wall clock. It is there for submissions that do "
        "not come to an end, and should be many times as long as any other one takes.",
        json_schema_extra={"default": "30min"},
    )
    archive: SizeBytes = Field(
        default=16 * 1024 * 1024,
        description="The largest size of all files of a submission together, as they are and unpacked.",
        json_schema_extra={"default": "16MiB"},
    )
    files: int = Field(default=1000, ge=1, le=100_000, description="The largest number of files in a submission.")


class Interfaces(Model):
    """How submissions may reach the kernel."""

    modules: bool = Field(
        default=False,
        description="Whether a congestion control may be a kernel module ('cc: {name: mine, module: tcp_mine.c}'). A "
        "module runs in the guest's kernel with all rights. It cannot leave the guest, but it can falsify what is "
        "measured there.",
    )


class Tournament(Model):
    """Every pair of submissions, and each with the kernel's algorithms, in one scenario with two flows."""

    file: Inside = Field(description="The experiment, relative to the folder of this file.")
    first: str = Field(description="Path of the field with the algorithm of one side.", examples=["flows.first.cc"])
    second: str = Field(
        description="Path of the field with the algorithm of the other side.", examples=["flows.second.cc"]
    )
    against: list[str] = Field(default=["cubic"], description="The kernel's algorithms that take part. Default: cubic.")


class Hidden(Model):
    """The hidden part of an assignment, in the teacher's folder: further scenarios and criteria."""

    scenarios: dict[Id, ScenarioOrFile] = Field(
        default={}, description="Name of a scenario → its experiment, relative to the folder of this file."
    )
    rubric: dict[Id, Criterion] = Field(default={}, description="Name of a criterion → what it gives points for.")


class Assignment(Model):
    """One assignment file: assignment.yaml in the folder of the assignment."""

    name: Name = Field(description="Name of the assignment; results are stored in a folder of this name.")
    title: str = Field(description="Title of the assignment, in one line.")
    handout: Inside = Field(default="handout.md", description="The handout, in Markdown.")
    submission: dict[FileName, Handed] = Field(
        min_length=1,
        max_length=20,
        description="Name of a file that students hand in → what it is. The folder has the file that students begin "
        "with under the same name.",
    )
    scenarios: dict[Id, ScenarioOrFile] = Field(
        min_length=1, max_length=50, description="Name of a scenario → its experiment."
    )
    rubric: dict[Id, Criterion] = Field(
        min_length=1, max_length=100, description="Name of a criterion → what it gives points for."
    )
    limits: Limits = Field(default=Limits(), description="What a submission may use.")
    interfaces: Interfaces = Field(default=Interfaces(), description="How submissions may reach the kernel.")
    tournament: Tournament | None = Field(
        default=None, description="For a class: a scenario in which all submissions meet each other."
    )


def kind_of(criterion: Criterion) -> Literal["condition", "scale", "answer", "choice", "question"]:
    """Return what a criterion is, by the fields that it has."""
    if criterion.question is not None:
        return "question"
    if criterion.choice is not None:
        return "choice"
    if criterion.answer is not None:
        return "answer"
    return "condition" if criterion.that is not None else "scale"
