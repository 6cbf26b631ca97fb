# SPDX-License-Identifier: Apache-2.0
"""The measured windows of flows and probes: the parts of their time that figures cover."""

from __future__ import annotations

from typing import TypeAlias

from lab.job.protocol import Flow, Probe, Window

Asked: TypeAlias = Flow | Probe
"""What runs for some time and is measured."""


def declared_window(asked: Asked) -> Window:
    """Return when a flow or probe starts and ends, as the job declares it."""
    return Window(start_ns=asked["start_ns"], end_ns=asked["start_ns"] + asked["duration_ns"])


def is_measured(asked: Asked) -> bool:
    """Return whether the measured window contains any of its time; a period of on-off traffic may be outside of it."""
    return asked["measured"]["start_ns"] < asked["measured"]["end_ns"]


def is_cut(asked: Asked) -> bool:
    """Return whether the measured window is only a part of its time."""
    return asked["measured"] != declared_window(asked)
