# SPDX-License-Identifier: Apache-2.0
"""The table of a tournament."""

from __future__ import annotations

import pytest

from lab.grade.result.duels import Duel, Table, as_text, tournament_page

TABLE = Table(
    "Fairness",
    ("ada", "<bob>", "cubic"),
    ("cubic",),
    (
        Duel("ada", "ada", 5e6, 5e6, 1.0, 0.98),
        Duel("ada", "<bob>", 6e6, 4e6, 0.96, 0.98),
        Duel("ada", "cubic", 4e6, 6e6, 0.96, 0.98),
        Duel("<bob>", "<bob>", 9e6, 1e6, 0.61, 0.98),
        Duel("<bob>", "cubic", None, None, None, None, "the kernel <panicked>"),
    ),
)


def test_a_duel_is_the_same_from_both_sides() -> None:
    first, second = TABLE.of("ada", "<bob>"), TABLE.of("<bob>", "ada")
    assert first is not None
    assert second is not None
    assert first.share == pytest.approx(0.6)
    assert second.share == pytest.approx(0.4)
    assert TABLE.of("cubic", "cubic") is None


def test_the_fairest_is_first_and_duels_that_failed_count_as_unfair() -> None:
    assert TABLE.ranking() == ["ada", "cubic", "<bob>"]
    assert TABLE.fairness("ada") == pytest.approx(0.96)
    assert TABLE.fairness("<bob>") == pytest.approx(0.48)
    assert TABLE.throughput("ada") == pytest.approx(5e6)
    assert "cubic (of the kernel)" in as_text(TABLE)


def test_the_page_is_a_heat_map_without_markup_of_students() -> None:
    page = tournament_page(TABLE)
    assert "60%" in page
    assert "hsl(28 " in page
    assert "hsl(212 " in page
    assert "&lt;bob&gt;" in page
    assert "<bob>" not in page
    assert "&lt;panicked&gt;" in page
