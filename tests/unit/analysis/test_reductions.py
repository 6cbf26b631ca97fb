# SPDX-License-Identifier: Apache-2.0
"""Causes of window reductions, with samples that were written by hand."""

from __future__ import annotations

import numpy as np

from lab.analysis.ack_samples import AckSamples
from lab.analysis.reductions import MARK, UNKNOWN, Trouble, reduction_causes

MS = 10**6


def samples() -> AckSamples:
    """Return rows every 10 ms in which the window falls from 100 to 70 at 200, 400 and 600 ms; the RTT is 20 ms."""
    times = np.arange(0, 800, 10)
    falls = np.isin(times, [200, 400, 600])
    since = np.array([(time % 200) // 10 for time in times])
    cwnd = np.where(times < 200, 100, 70 + since)
    ssthresh = np.where(times < 200, 2**31 - 1, 0)
    for begin in (200, 400, 600):
        inside = (times >= begin) & (times < begin + 200)
        ssthresh[inside] = np.maximum(70 - begin // 200, (cwnd[inside] >> 1) + (cwnd[inside] >> 2))
        ssthresh[times == begin] = 70 - begin // 200
    cwnd[falls] = 71
    return AckSamples.from_columns({
        "time_ns": times * MS, "snd_nxt": times * 1000, "snd_una": times * 1000, "snd_cwnd": cwnd,
        "ssthresh": ssthresh, "srtt_us": np.full(len(times), 20_000), "in_recovery": falls,
    })  # fmt: skip


def test_the_cause_is_what_was_dropped_or_marked_shortly_before() -> None:
    troubles = [
        Trouble(170 * MS, "queue_overflow", 3),
        Trouble(360 * MS, "random_loss", 1),
        Trouble(370 * MS, MARK, 2),
        Trouble(560 * MS, "random_loss", 1),
    ]
    assert reduction_causes(samples(), troubles, 10 * MS) == {"queue_overflow": 1, MARK: 1, "random_loss": 1}


def test_an_older_drop_counts_if_nothing_happened_since() -> None:
    # 150 ms before the reduction, far more than three round trips: the sender needed a timeout to notice.
    troubles = [Trouble(50 * MS, "random_loss", 1), Trouble(240 * MS, "queue_overflow", 1)]
    assert reduction_causes(samples(), troubles, 10 * MS) == {"random_loss": 1, "queue_overflow": 1, UNKNOWN: 1}


def test_a_bin_around_a_reduction_counts_for_both() -> None:
    troubles = [Trouble(195 * MS, MARK, 8)]
    assert reduction_causes(samples(), troubles, 10 * MS) == {MARK: 2, UNKNOWN: 1}
    assert reduction_causes(samples(), troubles, 5 * MS) == {MARK: 1, UNKNOWN: 2}


def test_drops_after_a_reduction_do_not_explain_it() -> None:
    assert reduction_causes(samples(), [Trouble(610 * MS, "random_loss", 1)], 10 * MS) == {UNKNOWN: 3}
    assert reduction_causes(samples(), [], 10 * MS) == {UNKNOWN: 3}
