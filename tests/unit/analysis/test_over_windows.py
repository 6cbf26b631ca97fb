# SPDX-License-Identifier: Apache-2.0
"""Rates in windows, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lab.analysis.over_windows import in_a_row, rates_in, window_starts
from lab.analysis.series import Bins

MS = 1_000_000


def bins(*arrived: tuple[int, int]) -> Bins:
    """(start in ms, bytes) of each bin of 10 ms."""
    starts, sizes = np.array(arrived, dtype=np.int64).reshape(-1, 2).T
    return Bins(starts * MS, sizes, 10 * MS)


def test_whole_windows_only() -> None:
    assert (window_starts(0, 2500 * MS) // MS).tolist() == [0, 1000]
    assert (window_starts(300 * MS, 2300 * MS) // MS).tolist() == [300, 1300]
    assert window_starts(0, 999 * MS).tolist() == []
    assert (window_starts(0, 1250 * MS, step_ns=100 * MS) // MS).tolist() == [0, 100, 200]


def test_what_arrives_in_a_window_is_its_rate() -> None:
    # 1000 bytes in each of the first hundred bins: 100 kB/s, or 0.8 Mbit/s; then nothing; then one bin.
    found = bins(*((10 * place, 1000) for place in range(100)), (2500, 500))
    assert rates_in(found, window_starts(0, 4000 * MS)).tolist() == [800_000, 0, 4000, 0]
    # Half of the first second and half of the next.
    assert rates_in(found, np.array([500 * MS])).tolist() == [400_000]
    # A window that begins in the middle of a bin has half of it.
    assert rates_in(found, np.array([2505 * MS])).tolist() == [2000]
    # In windows of 100 ms, ten bins of 1000 bytes are 0.8 Mbit/s as well.
    assert rates_in(found, np.array([100 * MS]), 100 * MS).tolist() == [800_000]


def test_nothing_arrives() -> None:
    assert rates_in(bins(), np.array([0, 1])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("holds", "times", "place"), [("ffttt", 3, 2), ("ttftt", 3, None), ("ttt", 3, 0), ("", 1, None), ("tft", 1, 0)]
)
def test_in_a_row(holds: str, times: int, place: int | None) -> None:
    assert in_a_row([letter == "t" for letter in holds], times) == place
