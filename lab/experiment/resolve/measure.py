# SPDX-License-Identifier: Apache-2.0
"""The measured window of each flow and probe.  This module does no I/O."""

from __future__ import annotations

from lab.experiment.schema.experiment import Experiment, Flow, LatencyProbe
from lab.job.protocol import Window

__all__ = ["measured"]


def measured(experiment: Experiment, of: Flow | LatencyProbe, start_ns: int, end_ns: int) -> Window:
    """Return the measured window of a flow or probe that runs from *start_ns* to *end_ns*.

    Its own ``measure`` replaces that of the experiment.  The window is on the experiment's clock, and only the part of
    it in which the flow runs counts.  It is empty if it has no such part.
    """
    asked = of.measure or experiment.measure
    if asked is None:
        return Window(start_ns=start_ns, end_ns=end_ns)
    start = min(max(asked.start, start_ns), end_ns)
    end = end_ns if asked.end == "end" else min(asked.end, end_ns)
    return Window(start_ns=start, end_ns=max(start, end))
