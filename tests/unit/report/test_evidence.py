# SPDX-License-Identifier: Apache-2.0
"""The comparisons behind an answer, with made-up data whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.cli.running.answer import show_answer
from lab.report import build_report
from lab.report.answer.answer import answer
from lab.report.answer.evidence import Evidence, effect_size_text, evidence, how_sure, p_text
from lab.report.answer.findings import findings
from lab.report.answer.observations import Factor, Measured, Observation, Quantity
from lab.report.model import Report
from lab.store.run import Run

GOODPUT = Quantity("goodput", "Mbit/s", "higher", is_share_of_link=True)
JAIN = Quantity("Jain's fairness index", "", "higher", is_ratio=False)
ALGORITHM = Factor("algorithm", "algorithm", ("cubic", "bbr"))
LOSS = Factor("loss", "named", ("none", "bursts"))


def found(
    values: Mapping[tuple[str, ...], Sequence[float]],
    quantity: Quantity = GOODPUT,
    factors: Sequence[Factor] = (ALGORITHM,),
    **more: Any,
) -> list[Evidence]:
    names = [factor.name for factor in factors]
    observations = tuple(
        Observation(dict(zip(names, levels, strict=True)), repetition, value, **more)
        for levels, of_cell in values.items()
        for repetition, value in enumerate(of_cell, 1)
    )
    return evidence(findings([Measured(quantity, tuple(factors), observations)]))


def test_a_clear_ratio_with_its_interval_effect_size_and_p_value() -> None:
    # The logarithms of the ratios are ln(14/10), ln(15/10) and ln(13/10): mean 0.334767, deviation 0.071566.  So t is
    # 8.1022, whose p-value with 2 degrees of freedom is 0.0149; t(0.975; 2) is 4.30265; Hedges' correction is 0.5642.
    (one,) = found({("cubic",): [10, 10, 10.0], ("bbr",): [14, 15, 13.0]})
    assert (one.quantity, one.where, one.first, one.second) == ("goodput (Mbit/s)", "", "bbr", "cubic")
    assert (one.first_mean, one.second_mean) == ("14.0", "10.0")
    assert (one.difference, one.interval) == ("× 1.40", "1.17 to 1.67")
    assert (one.effect_size, one.p_value, one.agreeing, one.verdict) == ("2.6", "0.015", "3 of 3", "clear")
    assert one.is_leading


def test_an_index_is_compared_by_its_difference() -> None:
    # Differences 0.30, 0.32 and 0.28: mean 0.3, deviation 0.02, t = 25.98, p = 0.00148.
    (one,) = found({("cubic",): [0.6, 0.6, 0.6], ("bbr",): [0.9, 0.92, 0.88]}, JAIN)
    assert (one.difference, one.interval, one.p_value) == ("+0.30", "0.25 to 0.35", "0.001")


def test_p_values_are_corrected_for_all_comparisons_of_a_finding() -> None:
    alone = found({("cubic",): [10, 10, 10.0], ("bbr",): [14, 15, 13.0]})
    both = found(
        {
            ("cubic", "none"): [10, 10, 10.0],
            ("bbr", "none"): [14, 15, 13.0],
            ("cubic", "bursts"): [10, 12, 8.0],
            ("bbr", "bursts"): [11, 9, 12.0],
        },
        factors=(ALGORITHM, LOSS),
    )
    with_loss = {item.where: item for item in both if item.first == "bbr"}
    assert alone[0].p_value == "0.015"
    # The smaller of two p-values is doubled (Holm).
    assert with_loss["none"].p_value == "0.030"
    assert with_loss["none"].is_leading
    assert with_loss["bursts"].agreeing == "2 of 3"
    assert with_loss["bursts"].verdict.startswith("not clear")
    assert not with_loss["bursts"].is_leading


def test_what_is_not_clear_says_how_many_repetitions_it_would_take() -> None:
    (one,) = found({("cubic",): [10, 14, 18.0], ("bbr",): [15, 13, 19.0]})
    # The mean of the three logarithms is 0.12848 and their deviation 0.24830: with 17 repetitions, t would be 2.13, and
    # p 0.049; with 16, p is 0.056.
    assert one.verdict == "not clear; 17 repetitions would be expected to do"
    (hopeless,) = found({("cubic",): [10, 14, 18.0], ("bbr",): [15, 13, 14.1]})
    assert hopeless.verdict == "not clear"


def test_single_trials_and_exact_results_have_no_tests() -> None:
    (one,) = found({("cubic",): [10.0], ("bbr",): [14.0]})
    assert (one.interval, one.effect_size, one.p_value, one.verdict) == ("", "", "", "too few repetitions")
    assert found({("cubic",): [10, 10, 10.0], ("bbr",): [14, 14, 14.0]}, is_exact=True) == []


@pytest.mark.parametrize("repetitions", [3, 10])
def test_of_equal_cells_few_differences_are_called_clear(repetitions: int) -> None:
    rng, clear = np.random.default_rng(7), 0
    for _ in range(400):
        cubic, bbr = np.exp(rng.normal(2, 0.3, (2, repetitions)))
        clear += any(item.verdict == "clear" for item in found({("cubic",): cubic.tolist(), ("bbr",): bbr.tolist()}))
    assert clear <= 0.08 * 400


def test_how_sure_a_claim_can_be() -> None:
    # The probability that all differences have the same sign by chance is 2 · 0.5ⁿ: 1/4, 1/16 and 1/32.
    assert "3 repetitions that all differ" in how_sure(3)
    assert "with 75 % confidence" in how_sure(3)
    assert how_sure(3).endswith("; 95 % takes 3 more.")
    assert "with 94 % confidence" in how_sure(5)
    assert how_sure(5).endswith("; 95 % takes 1 more.")
    assert "takes" not in how_sure(6)


def test_tiny_p_values_are_not_told_exactly() -> None:
    assert [p_text(value) for value in (None, 1.0, 0.0214, 0.00099, 1e-9)] == ["", "1.0", "0.021", "<0.001", "<0.001"]


def test_huge_effect_sizes_are_not_told_exactly() -> None:
    sizes = (None, 0.0, 2.345, -13.4, 2494.0, -880.0)
    assert [effect_size_text(size) for size in sizes] == ["", "0", "2.3", "−13", ">100", "<−100"]


def test_the_page_the_summary_the_document_and_the_terminal_show_them(
    reports: Callable[[str], Report], replayed: Callable[[str], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer(reports("loss"))
    assert told.evidence
    assert "repetitions that all differ in the same direction" in told.basis
    page = build_report(replayed("loss").path)
    texts = page.read_text(encoding="utf-8"), (page.parent / "summary.md").read_text(encoding="utf-8")
    document = json.loads((page.parent / "answer.json").read_text(encoding="utf-8"))
    assert document["evidence"] == [vars(item) for item in told.evidence]
    for text in texts:
        assert "The comparisons behind the answer" in text
        assert all(item.difference in text and item.agreeing in text for item in told.evidence)
    show_answer(Path(page.parent))
    printed = capsys.readouterr().err
    assert "p (Holm)" in printed
    assert all(item.difference in printed for item in told.evidence if item.is_leading)


def test_a_remark_stands_below_the_table_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = {"cell": ["0%"], "flow": "cubic", "repetitions": 3, "values": [], "remarks": ""}
    remark = "no interval: the repetitions are equal, because nothing in it is random"
    document = {
        "sentences": ["Goodput is the same."],
        "basis": "",
        "evidence": [],
        "axes": ["loss"],
        "columns": [],
        "lines": [{**line, "remarks": remark}, {**line, "remarks": "1 missing"}, {**line, "remarks": remark}, line],
    }
    (tmp_path / "answer.json").write_text(json.dumps(document), encoding="utf-8")
    show_answer(tmp_path)
    lines = [text.split() for text in capsys.readouterr().err.splitlines()]
    assert [words[-1] for words in lines if words[:1] == ["0%"]] == ["(1)", "(2)", "(1)", "3"]
    assert ["(1)", *remark.split()] in lines
    assert ["(2)", "1", "missing"] in lines


def test_where_nothing_can_be_tested_no_table_is_shown(reports: Callable[[str], Report]) -> None:
    assert answer(reports("udp")).evidence == ()
