# SPDX-License-Identifier: Apache-2.0
"""The evaluation of all trials of a run, with and without what only figures need."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lab.compare.cells import run_cells
from lab.errors import StoreError
from lab.evaluation.trial import evaluate_trial, evaluate_trials
from lab.store.rows import read_table, write_table
from lab.store.run import Run, open_run


@pytest.mark.parametrize("name", ["loss", "short_flows", "failed"])
def test_metrics_do_not_depend_on_curves_or_processes(replayed: Callable[[str], Run], name: str) -> None:
    run = replayed(name)
    one_by_one = [evaluate_trial(trial) for trial in run.trials()]
    for found in (evaluate_trials(run), evaluate_trials(run, with_curves=False)):
        assert [item.trial.id for item in found] == [item.trial.id for item in one_by_one]
        for item, alone in zip(found, one_by_one, strict=True):
            assert (item.metrics, item.checks, item.probes) == (alone.metrics, alone.checks, alone.probes)
            assert item.verdict == alone.verdict
    assert all(not item.curves and not item.reductions for item in evaluate_trials(run, with_curves=False))
    assert [item.curves.keys() for item in evaluate_trials(run)] == [item.curves.keys() for item in one_by_one]


def test_a_comparison_sees_every_change_of_a_record(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    run = open_run(Path(shutil.copytree(replayed("loss").path, tmp_path / "loss" / "copy")))
    before = run_cells(run.path).values
    assert run_cells(run.path).values == before
    path = next(run.path.glob("trials/cubic-*-r1/tcp_probe.parquet"))
    table = pq.read_table(path)
    place = table.column_names.index("srtt_us")
    doubled = pq.read_table(path).column("srtt_us").to_numpy() * 2
    changed = table.set_column(place, table.schema.field(place), [doubled])
    write_table(changed, path)
    after = run_cells(run.path).values
    differing = {key for where in before for key in before[where] if before[where][key] != after[where][key]}
    assert "srtt_mean_ms" in differing
    assert "goodput_mbps" not in differing


def test_a_damaged_trial_is_an_error_whichever_process_reads_it(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    run = open_run(Path(shutil.copytree(replayed("loss").path, tmp_path / "loss" / "copy")))
    path = max(run.path.glob("trials/*/tcp_probe.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"tcp_probe\.parquet"):
        evaluate_trials(run)


def test_a_table_is_read_with_its_columns_in_the_order_that_is_asked_for(
    replayed: Callable[[str], Run], tmp_path: Path
) -> None:
    path = next(replayed("loss").path.glob("trials/*/accounts.parquet"))
    whole = pq.read_table(path)
    assert read_table(path).equals(whole)
    assert read_table(path, ["side", "time_ns"]).equals(whole.select(["side", "time_ns"]))
    with pytest.raises(StoreError, match="it has no column nothing"):
        read_table(path, ["time_ns", "nothing"])
    with pytest.raises(StoreError, match="cannot read"):
        read_table(tmp_path / "absent.parquet")
