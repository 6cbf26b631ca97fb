# SPDX-License-Identifier: Apache-2.0
"""Statistics, compared with published tables and results that were calculated by hand."""

from __future__ import annotations

import math

import pytest

from lab.analysis.statistics import jain_index, median_index, student_t, summarise


@pytest.mark.parametrize(
    ("confidence", "degrees", "expected"),
    [
        # Two-sided quantiles from the NIST/SEMATECH e-Handbook, table 1.3.6.7.2.
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 4, 2.776),
        (0.95, 9, 2.262),
        (0.95, 10, 2.228),
        (0.95, 29, 2.045),
        (0.95, 30, 2.042),
        (0.90, 5, 2.015),
        (0.99, 6, 3.707),
    ],
)
def test_student_t_is_that_of_the_tables(confidence: float, degrees: int, expected: float) -> None:
    assert student_t(confidence, degrees) == pytest.approx(expected, abs=5e-4)


def test_student_t_where_it_has_a_closed_form() -> None:
    # With one degree of freedom this is the Cauchy distribution; with two, t = p·sqrt(2 / (1 - p²)).
    assert student_t(0.95, 1) == pytest.approx(math.tan(math.pi / 2 * 0.95), rel=1e-10)
    assert student_t(0.95, 2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-10)


def test_student_t_nears_the_normal_distribution() -> None:
    assert student_t(0.95, 10_000) == pytest.approx(1.960, abs=5e-4)


@pytest.mark.parametrize(("confidence", "degrees"), [(0.0, 1), (1.0, 1), (0.95, 0)])
def test_student_t_refuses(confidence: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        student_t(confidence, degrees)


def test_summary_of_three() -> None:
    summary = summarise([1.0, 2.0, 6.0])
    assert summary is not None
    # The mean is 3.  The squared deviations are 4 + 1 + 9 = 14, so the variance is 14 / 2 = 7.  t(2) is 4.3027.
    assert (summary.n, summary.mean, summary.low, summary.high) == (3, 3.0, 1.0, 6.0)
    assert summary.sd == pytest.approx(math.sqrt(7))
    assert summary.ci95 == pytest.approx(4.30265 * math.sqrt(7) / math.sqrt(3), rel=1e-5)


def test_summary_of_one_and_of_none() -> None:
    one = summarise([5.0])
    assert one is not None
    assert (one.mean, one.sd, one.ci95) == (5.0, None, None)
    assert summarise([]) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 1.0, 1.0], 1.0), ([1.0, 0.0, 0.0, 0.0], 0.25), ([1.0, 3.0], 0.8), ([0.0, 0.0], None), ([], None)],
)
def test_jain_index(values: list[float], expected: float | None) -> None:
    assert jain_index(values) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("values", "place"), [([3.0], 0), ([3.0, 1.0, 2.0], 2), ([4.0, 1.0, 3.0, 2.0], 3), ([1.0, 1.0], 0)]
)
def test_median_index(values: list[float], place: int) -> None:
    assert median_index(values) == place
