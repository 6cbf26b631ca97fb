# SPDX-License-Identifier: Apache-2.0
"""The comparison of runs, with made-up metrics and with real runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.compare.cells import Place, RunCells, Value, run_cells
from lab.compare.differences import differences
from lab.compare.inputs import input_differences
from lab.compare.outcome import lines, remarks, summary
from lab.compare.render import as_json, as_markdown, as_text
from lab.compare.tolerances import Tolerances
from lab.report.tables.columns import COLUMNS
from lab.store.run import Run


def made_up(
    name: str,
    goodput: Mapping[str, Sequence[float]],
    *,
    seed: int = 1,
    digest: str = "",
    provenance: Mapping[str, Any] | None = None,
    column: str = "goodput_mbps",
) -> RunCells:
    """Return a run whose cells, given by their loss rate, have these values in the repetitions."""
    values: dict[Place, dict[str, dict[int, Value]]] = {
        (("loss", loss), ("flow", "bulk"), ("algorithm", "cubic")): {
            column: {
                number: Value(value, seed + number, f"{digest or name}-{loss}-{number}")
                for number, value in enumerate(of_cell, 1)
            }
        }
        for loss, of_cell in goodput.items()
    }
    columns = {one.key: one for one in COLUMNS}
    return RunCells(Run(Path("results/e") / name), values, columns, dict(provenance or {}), {}, 0)


def verdicts(first: RunCells, second: RunCells, tolerance: float = 0.05) -> dict[str, str]:
    return {item.place[0][1]: item.verdict for item in differences(first, second, Tolerances(tolerance)).differences}


BASE = {"0%": [19.0, 19.1, 18.9], "1%": [3.0, 3.2, 3.1], "2%": [2.0, 2.6, 1.6]}


def test_what_is_worse_better_or_the_same() -> None:
    later = {"0%": [19.05, 19.0, 18.95], "1%": [2.4, 2.57, 2.47], "2%": [2.5, 2.1, 1.9]}
    assert verdicts(made_up("a", BASE), made_up("b", later)) == {"0%": "same", "1%": "worse", "2%": "unclear"}
    assert verdicts(made_up("b", later), made_up("a", BASE)) == {"0%": "same", "1%": "better", "2%": "unclear"}
    # A lower delay is better; of retransmissions, neither more nor fewer are.
    for column, verdict in (("srtt_mean_ms", "better"), ("retransmits", "changed")):
        runs = made_up("a", BASE, column=column), made_up("b", later, column=column)
        assert verdicts(*runs)["1%"] == verdict


def test_a_change_within_the_tolerance_is_none() -> None:
    later = {"1%": [2.4, 2.57, 2.47]}
    assert verdicts(made_up("a", BASE), made_up("b", later), 0.3) == {"1%": "same"}


def test_equal_records_are_unchanged_whatever_their_values() -> None:
    first, second = made_up("a", BASE, digest="x"), made_up("b", BASE, digest="x")
    assert set(verdicts(first, second).values()) == {"identical"}
    assert summary(differences(first, second)) == "all 3 metrics are unchanged: the trials are equal to the byte"


def test_a_single_trial_that_became_worse_is_worse_with_a_remark() -> None:
    found = differences(made_up("a", {"0%": [19.0]}), made_up("b", {"0%": [15.0]}))
    assert [item.verdict for item in found.differences] == ["worse"]
    assert "changes without an interval come from too few repetitions to exclude chance" in remarks(found)


def test_other_seeds_are_not_compared_in_pairs() -> None:
    found = differences(made_up("a", BASE), made_up("b", {"1%": [2.4, 2.5, 2.6]}, seed=100))
    assert [item.is_paired for item in found.differences] == [False]
    assert [item.verdict for item in found.differences] == ["worse"]
    assert "repetitions with different seeds were not compared in pairs" in remarks(found)


def test_cells_that_only_one_run_has_are_named() -> None:
    found = differences(made_up("a", BASE), made_up("b", {"1%": [3.0, 3.2, 3.1], "5%": [1.0, 1.0, 1.0]}))
    assert remarks(found)[:2] == [
        "only e/a has 2 of the cells: loss 0%, flow bulk, algorithm cubic; loss 2%, flow bulk, algorithm cubic",
        "only e/b has 1 of the cells: loss 5%, flow bulk, algorithm cubic",
    ]


def test_what_else_differs() -> None:
    first = made_up("a", BASE, provenance={"kernel": "6.12.115", "agent_digest": "1", "started": "then"})
    second = made_up("b", BASE, provenance={"kernel": "6.12.117", "agent_digest": "1", "started": "now"})
    differing, same = input_differences(first, second)
    assert [(item.name, item.first, item.second) for item in differing] == [("kernel", "6.12.115", "6.12.117")]
    assert same == ["agent_digest"]


def test_all_forms_have_the_same_content() -> None:
    later = {"0%": [19.05, 19.0, 18.95], "1%": [2.4, 2.57, 2.47], "2%": [2.5, 2.1, 1.9]}
    found = [differences(made_up("a", BASE), made_up("b", later))]
    (line, *_) = lines(found[0])
    assert (line.cell, line.flow, line.metric) == ("loss 1%", "bulk (cubic)", "Goodput (Mbit/s)")
    assert (line.first, line.second, line.verdict) == ("3.10", "2.48", "worse")
    assert line.change.startswith("−20 % (−")
    text = as_text(found, 120, everything=False, colour=False)
    markdown = as_markdown(found, everything=False)
    document = json.loads(as_json(found, Tolerances(0.05)))
    for output in (text, markdown):
        assert all(part in output for part in (line.cell, line.first, line.second, line.change, "worse"))
        assert "loss 0%" not in output
    assert document["comparisons"][0]["counts"]["worse"] == 1
    assert len(document["comparisons"][0]["metrics"]) == 3
    assert "loss 0%" in as_text(found, 120, everything=True, colour=False)


def test_real_runs(replayed: Callable[[str], Run], lab_command: Any, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    shutil.copytree(replayed("loss").path, one)
    shutil.copytree(replayed("loss").path, other)
    assert len(run_cells(one).values) == 6
    said = lab_command("compare", one, other)
    assert said.code == 0
    assert "are unchanged: the trials are equal to the byte" in said.out
    said = lab_command("compare", one, tmp_path / "nothing")
    assert (said.code, said.out) == (2, "")
    for bad in (["--format", "xml"], ["--tolerance", "much"]):
        said = lab_command("compare", one, other, *bad)
        assert said.code == 2, said
        assert bad[0] in said.err
    assert lab_command("compare", one).code == 2


@pytest.mark.parametrize("form", ["text", "markdown", "json", "html"])
def test_the_output_can_go_to_a_file(
    replayed: Callable[[str], Run], lab_command: Any, tmp_path: Path, form: str
) -> None:
    one = replayed("loss").path
    said = lab_command("compare", one, replayed("udp").path, "--format", form, "-o", tmp_path / "out")
    assert said.out.strip() == str(tmp_path / "out")
    assert "no metric of a cell is in both runs" in (tmp_path / "out").read_text().lower()


def test_how_sure_changes_are_and_how_many_repetitions_it_takes() -> None:
    # Ratios of 1.30, 1.32 and 1.28: the mean of their logarithms is 0.26227 and the deviation 0.01539, so t is 29.5.
    later = {"0%": [13.0, 13.2, 12.8], "1%": [12.5, 8.9, 11.2]}
    first = made_up("a", {"0%": [10.0] * 3, "1%": [10.0] * 3})
    found = differences(first, made_up("b", later))
    clear, unclear = (line for line in lines(found, everything=True))
    assert (clear.effect_size, clear.p_value, clear.verdict) == ("9.6", "0.002", "better")
    assert unclear.verdict == "unclear"
    told = remarks(found)
    assert any("3 repetitions that all differ in the same direction show with 75 % confidence" in text for text in told)
    # The mean of the logarithms is 0.07331 and the deviation 0.17334: with 24 repetitions, p would be 0.050.
    assert "with 24 repetitions, the unclear change would be expected to become clear" in told
    entry = json.loads(as_json([found], Tolerances(0.05)))["comparisons"][0]["metrics"][0]
    assert entry["agreeing"] == 3
    assert entry["effect_size"] == pytest.approx(9.6, abs=0.1)
    # Trials that are equal to the byte have nothing to test.
    same = differences(first, made_up("c", {"0%": [10.0] * 3, "1%": [10.0] * 3}, digest="a"))
    assert all(line.p_value == line.effect_size == "" for line in lines(same, everything=True))
    assert not any("confidence" in text for text in remarks(same))
