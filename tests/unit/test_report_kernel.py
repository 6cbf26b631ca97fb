# SPDX-License-Identifier: Apache-2.0
"""Bands and marks of the figures over time."""

from __future__ import annotations

import numpy as np

from lab.report.kernel import Span, spans
from lab.report.timeseries import MARK_BINS, _thinned


def test_a_mode_lasts_until_the_next_begins() -> None:
    times = np.array([0.0, 0.5, 1.0, 2.0, 3.0])
    assert spans(times, ["Startup", "Startup", "Drain", "ProbeBW", "ProbeBW"]) == [
        Span(0.0, 1.0, "Startup"),
        Span(1.0, 2.0, "Drain"),
        Span(2.0, 3.0, "ProbeBW"),
    ]
    assert spans(np.zeros(0), []) == []


def test_marks_do_not_run_together() -> None:
    times = np.linspace(0.0, 10.0, 5000)
    shown = _thinned(times)
    assert len(shown) == MARK_BINS + 1
    assert (shown[0], shown[-1]) == (0.0, 10.0)
    few = np.array([1.0, 4.0, 4.1])
    assert list(_thinned(few)) == [1.0, 4.0, 4.1]
    assert len(_thinned(np.zeros(0))) == 0
