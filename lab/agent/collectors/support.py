# SPDX-License-Identifier: Apache-2.0
"""Find out which collectors work on this kernel, and why others do not, by trying them out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.agent.collectors.loader import LoaderError
from lab.agent.collectors.registry import COLLECTORS, Collector

NEEDS_ROOT = "loading BPF programs requires root: run the command with sudo"


@dataclass(frozen=True)
class Support:
    """Whether a collector works on this kernel."""

    collector: str
    hooks: str
    """The tracepoints and functions without which the collector does not work, separated by commas."""
    works: bool
    why: str
    """The reason why the collector does not work, or which of its options do not work and why; otherwise empty."""


def try_all(sources: Path) -> Iterator[Support]:
    """Try each collector in turn and yield the result."""
    return (try_one(collector, sources) for collector in COLLECTORS.values())


def try_one(collector: Collector, sources: Path) -> Support:
    """Compile, load, attach and detach one collector, and return whether this worked."""
    hooks = ", ".join(dict.fromkeys(hook.targets[0] for hook in collector.hooks if hook.required and not hook.option))
    if os.geteuid() != 0:
        return Support(collector.name, hooks, False, NEEDS_ROOT)
    try:
        missing = _try(collector, sources)
    except LoaderError as exc:
        return Support(collector.name, hooks, False, first_line(exc))
    return Support(collector.name, hooks, True, "; ".join(missing))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message; further lines hold the output of the compiler or verifier."""
    return str(error).partition("\n")[0]


def _try(collector: Collector, sources: Path) -> list[str]:
    """Load, attach and detach the collector; return the options that do not work, with the reasons."""
    # bcc is imported only when it is needed, because it may be missing and the import takes half a second.
    from lab.agent.collectors.bcc_loader import BccPrograms

    programs = BccPrograms(sources, [collector.name])
    missing = []
    programs.attach(collector.name)
    programs.detach(collector.name)
    for option in sorted({hook.option for hook in collector.hooks if hook.option is not None}):
        try:
            programs.attach(collector.name, {option})
        except LoaderError as exc:
            missing.append(f"--{option.replace('_', '-')} does not work: {first_line(exc)}")
        finally:
            programs.detach(collector.name)
    return missing
