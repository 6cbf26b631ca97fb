# SPDX-License-Identifier: Apache-2.0
"""Which cells are run again on another engine, and when two means agree."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab.errors import InputError, StoreError
from lab.experiment.read.load import load_experiment
from lab.plan.plan import Plan, make_plan
from lab.run.confirm import RETRANSMISSIONS, compared, sample
from lab.store.confirmation import Confirmed
from lab.store.run import Run, create_run

SHIPPED = Path(__file__).parents[3] / "experiments" / "cubic_vs_bbr.yaml"

KEY = ("cubic", "bulk", "goodput (Mbit/s)")


def plan_with(*overrides: str) -> Plan:
    return make_plan(load_experiment(SHIPPED, ["engine=vm", *overrides]).checked)


def only(first: list[float], second: list[float]) -> Confirmed:
    (found,) = compared({KEY: first}, {KEY: second})
    return found


def test_what_is_stored_can_be_read(tmp_path: Path) -> None:
    run = create_run(tmp_path, "name", b"", {"trials": []})
    comparison = asdict(only([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]))
    run.put_confirmation({"engine": "vm", "kernel": "debian-13", "run": "confirmation", "comparisons": [comparison]})
    stored = Run(run.path).confirmation
    assert stored is not None
    assert stored["comparisons"] == [comparison]


def test_a_comparison_without_one_of_its_fields_is_damaged(tmp_path: Path) -> None:
    run = create_run(tmp_path, "name", b"", {"trials": []})
    comparison = asdict(only([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]))
    del comparison["agrees"]
    run.put_confirmation({"engine": "vm", "kernel": "debian-13", "run": "confirmation", "comparisons": [comparison]})
    with pytest.raises(StoreError, match=r"comparisons\[0\]: it lacks agrees"):
        _ = Run(run.path).confirmation


def test_the_sample_is_spread_over_the_cells_and_has_all_repetitions() -> None:
    plan = plan_with("repeat=4")
    chosen = sample(plan)
    places = [plan.cells.index(cell) for cell in chosen.cells]
    assert places[0] == 0
    assert places[-1] == len(plan.cells) - 1 > 2
    assert len(places) == 3
    assert [trial.repetition for trial in chosen.trials] == [1, 2, 3, 4] * 3
    assert {trial.cell_id for trial in chosen.trials} == {cell.id for cell in chosen.cells}


@pytest.mark.parametrize("number", [1, 2])
def test_a_small_experiment_runs_again_completely(number: int) -> None:
    plan = plan_with("repeat=2")
    few = replace(
        plan,
        cells=plan.cells[:number],
        trials=tuple(trial for trial in plan.trials if trial.cell_id in {cell.id for cell in plan.cells[:number]}),
    )
    assert sample(few) == few


def test_one_repetition_is_refused() -> None:
    with pytest.raises(InputError, match=r"repeat: 1; expected at least 2"):
        sample(plan_with("repeat=1"))


def test_a_difference_within_the_variation_agrees() -> None:
    found = only([10.0, 12.0, 14.0], [11.0, 13.0, 15.0])
    assert found.agrees
    assert found.chance > 1


def test_a_difference_that_is_real_but_small_agrees() -> None:
    found = only([19.0, 19.0, 19.0], [19.1, 19.1, 19.1])
    assert found.chance == 0
    assert found.agrees
    assert "agree" in str(found)


def test_a_difference_that_is_real_and_large_differs() -> None:
    found = only([19.0, 19.01, 19.02], [18.5, 18.51, 18.52])
    assert 0 < found.chance < 0.2
    assert not found.agrees
    assert "DIFFER" in str(found)


def test_single_packets_of_a_burst_make_no_difference() -> None:
    key = ("cubic", "bulk", RETRANSMISSIONS)
    for second, agrees in ((147.0, True), (160.0, False)):
        (found,) = compared({key: [145.0] * 3}, {key: [second] * 3})
        assert (found.chance, found.agrees) == (0, agrees)


def test_many_comparisons_demand_more_of_each() -> None:
    pair = [10.0, 11.0, 12.0], [12.0, 13.0, 14.0]
    alone = only(*pair)
    keys = [("cubic", "bulk", str(number)) for number in range(20)]
    together = compared(dict.fromkeys(keys, pair[0]), dict.fromkeys(keys, pair[1]))
    assert len(together) == 20
    assert all(found.chance > 1.5 * alone.chance for found in together)


def test_what_only_one_engine_measured_is_left_out() -> None:
    assert compared({KEY: [1.0, 2.0]}, {}) == []
    assert compared({KEY: [1.0]}, {KEY: [1.0]}) == []
