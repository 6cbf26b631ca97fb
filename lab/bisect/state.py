# SPDX-License-Identifier: Apache-2.0
"""What a bisection has found so far, in a file, so that it can be interrupted at any time and continued."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from lab.bisect.search import Range, Verdict, remaining
from lab.errors import InputError, StoreError
from lab.store.files import read_json, to_json, write_file
from lab.store.shape import check_shape, shown

FORMAT = 1
FILE = "bisect.json"


class Step(TypedDict):
    """A kernel that has been tried."""

    kernel: str
    verdict: Verdict
    why: str
    run: str
    """The folder of the run, relative to that of the bisection."""


class _Document(TypedDict):
    format: int
    asked: dict[str, Any]
    kernels: list[str]
    steps: list[Step]


class State:
    """A bisection: the list of kernels, and the steps so far.  Each step is written when it is added."""

    def __init__(self, folder: Path, asked: Mapping[str, Any], kernels: list[str], steps: list[Step]) -> None:
        self.folder = folder
        self.asked = dict(asked)
        """What determines the outcome besides the kernels: experiment, condition, and so on."""
        self.kernels = kernels
        """The names of the kernels in their order: the good one first, the bad one last."""
        self.steps = steps

    def add(self, step: Step) -> None:
        """Add a step and write the file.

        Raises:
            StoreError: The file cannot be written.
        """
        self.steps.append(step)
        self.write()

    def write(self) -> None:
        """Write the file, atomically.

        Raises:
            StoreError: It cannot be written.
        """
        document = {"format": FORMAT, "asked": self.asked, "kernels": self.kernels, "steps": self.steps}
        write_file(self.folder / FILE, to_json(document))

    def step_of(self, kernel: str) -> Step | None:
        """Return the step in which this kernel was tried; None if it was not."""
        return next((step for step in self.steps if step["kernel"] == kernel), None)

    def remaining(self) -> Range:
        """Return where the first bad kernel is, as far as that is known."""
        places = {kernel: place for place, kernel in enumerate(self.kernels)}
        return remaining({places[step["kernel"]]: step["verdict"] for step in self.steps}, len(self.kernels))


def read_state(folder: Path, asked: Mapping[str, Any]) -> State | None:
    """Return the bisection in *folder*; None if there is none.

    Raises:
        InputError: The folder has another bisection than the one that is *asked* for, or its file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        document = read_json(path)
        found = document.get("format") if isinstance(document, dict) else None
        if found != FORMAT:
            raise InputError(f"{path}: found format {shown(found)}; this version reads format {FORMAT}")
        check_shape(document, _Document, str(path))
    except StoreError as error:
        raise InputError(str(error)) from error
    kept = cast(_Document, document)
    differing = [name for name in asked if kept["asked"].get(name) != asked[name]]
    if differing:
        raise InputError(
            f"{folder} has a bisection with another {' and another '.join(differing)}; give another folder with "
            "--output, or remove this one"
        )
    if any(step["kernel"] not in kept["kernels"] for step in kept["steps"]) or len(kept["kernels"]) < 2:
        raise InputError(f"{path} is damaged: a step is about a kernel that is not in the list")
    return State(folder, kept["asked"], kept["kernels"], kept["steps"])
