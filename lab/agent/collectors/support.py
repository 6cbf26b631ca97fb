# SPDX-License-Identifier: Apache-2.0
"""Which collectors work on this kernel, and why not the others: by trying."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.agent.collectors.loader import LoaderError
from lab.agent.collectors.registry import COLLECTORS, Collector

NEEDS_ROOT = "BPF needs root: run it with sudo"


@dataclass(frozen=True)
class Support:
    """Whether a collector works on this kernel."""

    collector: str
    hooks: str
    works: bool
    why: str
    """Why it does not, or which of its options do not; else empty."""


def try_all(sources: Path) -> Iterator[Support]:
    return (try_one(collector, sources) for collector in COLLECTORS.values())


def try_one(collector: Collector, sources: Path) -> Support:
    hooks = ", ".join(dict.fromkeys(hook.targets[0] for hook in collector.hooks if hook.option is None))
    if os.geteuid() != 0:
        return Support(collector.name, hooks, False, NEEDS_ROOT)
    try:
        missing = _try(collector, sources)
    except LoaderError as exc:
        return Support(collector.name, hooks, False, first_line(exc))
    return Support(collector.name, hooks, True, "; ".join(missing))


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _try(collector: Collector, sources: Path) -> list[str]:
    """Load, attach and detach; returns the options that do not work, with the reason."""
    # Not before it is needed: it takes bcc, and half a second.
    from lab.agent.collectors.bcc_loader import BccPrograms

    programs = BccPrograms(sources, [collector.name])
    missing = []
    programs.attach(collector.name)
    programs.detach(collector.name)
    for option in sorted({hook.option for hook in collector.hooks if hook.option is not None}):
        try:
            programs.attach(collector.name, {option})
        except LoaderError as exc:
            missing.append(f"not with --{option.replace('_', '-')}: {first_line(exc)}")
        finally:
            programs.detach(collector.name)
    return missing
