# SPDX-License-Identifier: Apache-2.0
"""Short flows: their start times and sizes, and the errors in files of sizes and in the fields of short flows."""

from __future__ import annotations

import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import load_experiment
from lab.experiment.schema.amounts import FixedSize, ParetoSizes, draw, parse_sizes
from lab.job.protocol import Arrivals, Job
from lab.plan.plan import make_plan

FILE = """\
name: test
topology:
  kind: dumbbell
  pairs: 2
  bottleneck: {rate: 20mbit, delay: 10ms}
flows:
  web: {from: s1, to: d1, arrivals: {per_second: 50}, amount: 20kB, start: 2s}
  bulk: {from: s2, to: d2}
duration: 60s
"""


def jobs(tmp_path: Path, *overrides: str) -> list[Job]:
    path = tmp_path / "experiment.yaml"
    path.write_text(FILE)
    loaded = load_experiment(path, overrides)
    return [trial.job for trial in make_plan(loaded.checked).trials]


def arrivals(tmp_path: Path, *overrides: str) -> Arrivals:
    found = jobs(tmp_path, *overrides)[0]["flows"][0]["arrivals"]
    assert found is not None
    return found


def test_poisson_s_gaps_are_exponential(tmp_path: Path) -> None:
    times = arrivals(tmp_path, "seed=7")["at_ns"]
    assert min(times) > 2e9
    assert max(times) < 60e9
    assert times == sorted(times)
    # 58 s with 50 arrivals per second; the tolerance is four standard deviations of the Poisson distribution.
    assert abs(len(times) - 2900) < 4 * 2900**0.5
    gaps_ms = [(after - before) / 1e6 for before, after in pairwise(times)]
    # The standard deviation of an exponential distribution equals its mean, and its median is ln 2 times the mean.
    assert statistics.fmean(gaps_ms) == pytest.approx(20, rel=0.08)
    assert statistics.stdev(gaps_ms) == pytest.approx(20, rel=0.1)
    assert statistics.median(gaps_ms) == pytest.approx(20 * 0.693, rel=0.1)


def test_a_constant_process_begins_with_the_flow(tmp_path: Path) -> None:
    times = arrivals(tmp_path, "flows.web.arrivals.process=constant", "flows.web.arrivals.per_second=0.5")["at_ns"]
    assert times == list(range(2 * 10**9, 60 * 10**9, 2 * 10**9))


def test_all_cells_of_a_repetition_meet_the_same_flows(tmp_path: Path) -> None:
    pareto = "flows.web.amount={distribution: pareto, mean: 30kB}"
    found = jobs(tmp_path, pareto, "matrix.flows.*.cc=[cubic, bbr]", "repeat=2")
    first, second, third, fourth = (job["flows"][0]["arrivals"] for job in found)
    assert first == third
    assert second == fourth
    assert first != second
    # The jitter shifts the start times of all short flows by the same time, and changes nothing else.
    moved = arrivals(tmp_path, pareto, "start_jitter=1s")
    assert first is not None
    assert moved["bytes"] == first["bytes"]
    assert len({after - before for before, after in zip(first["at_ns"], moved["at_ns"], strict=True)}) == 1


def grid(count: int) -> list[float]:
    return [(number + 0.5) / count for number in range(count)]


@pytest.mark.parametrize(("shape", "largest"), [(1.2, 1_000_000), (2.5, 100_000_000), (1.1, 40_000)])
def test_pareto_s_sizes_and_their_mean(shape: float, largest: int) -> None:
    amount = ParetoSizes.model_validate(
        {"distribution": "pareto", "mean": "30kB", "shape": shape, "largest": f"{largest}B"}
    )
    sizes = draw(amount, grid(200_000))
    least = 30_000 * (shape - 1) / shape
    assert min(sizes) == pytest.approx(least, rel=1e-3)
    assert max(sizes) <= largest
    # The mean is E[min(X, L)] of a Pareto distribution with the smallest value `least`.
    mean = least + least / (shape - 1) * (1 - (least / largest) ** (shape - 1))
    assert statistics.fmean(sizes) == pytest.approx(mean, rel=0.01)
    # P(X > x) = (least / x) ** shape
    beyond = sum(size > 2 * least for size in sizes) / len(sizes)
    assert beyond == pytest.approx(0.5**shape, rel=0.01)


def test_sizes_of_a_file(tmp_path: Path) -> None:
    table = parse_sizes("# bytes, each as likely\n1000\n2kB\n\n3kB # the largest\n")
    assert sorted({table.quantile(u) for u in grid(30)}) == [1000, 2000, 3000]
    assert statistics.fmean(table.quantile(u) for u in grid(30)) == 2000
    cdf = parse_sizes("1000 0\n2000 0.5\n10000 1\n")
    assert [cdf.quantile(u) for u in (0.25, 0.5, 0.75)] == [1500, 2000, 6000]
    assert statistics.fmean(cdf.quantile(u) for u in grid(100_000)) == pytest.approx((1500 + 6000) / 2, rel=1e-3)
    (tmp_path / "sizes.txt").write_text("4000 0.5\n8000 1\n")
    sizes = arrivals(tmp_path, "flows.web.amount={distribution: file, file: sizes.txt}")["bytes"]
    assert min(sizes) == 4000
    assert max(sizes) <= 8000
    assert sum(size == 4000 for size in sizes) / len(sizes) == pytest.approx(0.5, abs=0.05)
    assert draw(FixedSize.model_validate({"distribution": "fixed", "size": "5kB"}), grid(3)) == [5000] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "found no size; expected one on each line"),
        ("ten\n", "line 1: found 'ten'; expected"),
        ("0\n", "line 1: found '0'; expected from 1 B"),
        ("1000 0.5\n2000\n", "line 2: found '2000'; expected a size and a probability, as in the lines before"),
        ("1000\n2000 1\n", "line 2: found '2000 1'; expected a size"),
        ("1000 0.5 3\n", "line 1: found '1000 0.5 3'; expected a size"),
        ("1000 0.5\n2000 0.4\n", "line 2: found '2000 0.4'; expected sizes that do not decrease"),
        ("1000 0.5\n900 1\n", "line 2: found '900 1'; expected sizes that do not decrease"),
        ("1000 0.5\n2000 0.9\n", "found 0.9 as the last probability; expected 1"),
        ("1000 1.5\n", "line 1: found '1.5'; expected a cumulative probability"),
    ],
)
def test_a_file_of_sizes_that_is_none(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "sizes.txt").write_text(text)
    with pytest.raises(SpecError) as error:
        jobs(tmp_path, "flows.web.amount={distribution: file, file: sizes.txt}")
    assert "flows.web.amount.file: found 'sizes.txt'" in str(error.value)
    assert expected in str(error.value)


REFUSED = {
    "flows.web.amount=null": "flows.web.amount: found no amount for short flows; expected how much each",
    "flows.web.amount={distribution: pareto, mean: 30kB, shape: 1}": "flows.web.amount.shape: found 1; expected more",
    "flows.web.amount={distribution: file, file: no.txt}": "flows.web.amount.file: found 'no.txt': ",
    "flows.web.arrivals={per_second: 0}": "flows.web.arrivals.per_second: found 0; expected more than 0",
    "flows.web.arrivals.per_second=500": "found about 29000 short flows in total; expected at most 10000",
    "flows.web.arrivals.per_second=0.01": "arrivals.per_second: found fewer than one flow in 58 s on average",
    "flows.web.direction=reverse": "flows.web.direction: found 'direction' for short flows; expected none; exchange",
    "flows.web.on=1s": "flows.web.on: found 'on' for short flows; expected none",
    "flows.web.rate=1mbit": "flows.web.rate: found 'rate' for short flows; expected none",
    "flows.web.message=1kB": "flows.web.message: found 'message' for short flows; expected none",
    "flows.bulk.protocol=udp": "flows.bulk.rate: found no rate for a UDP flow",
    "flows.bulk={from: s2, to: d2, protocol: udp, rate: 1mbit, cc: bbr}": "flows.bulk.cc: found 'cc' for a UDP flow",
    "flows.bulk={from: s2, to: d2, protocol: udp, rate: 1mbit, message: 2kB}": "expected a size from 16 B to 1.472 kB",
    "flows.bulk={from: s2, to: d2, protocol: udp, rate: 1mbit, mss: 500}": "flows.bulk.mss: found 'mss' for a UDP flow",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_short_and_udp_flows_cannot_be(tmp_path: Path, override: str) -> None:
    with pytest.raises(SpecError) as error:
        jobs(tmp_path, override)
    assert REFUSED[override] in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_udp_flow_has_no_congestion_control(tmp_path: Path) -> None:
    found = jobs(tmp_path, "flows.bulk={from: s2, to: d2, protocol: udp, rate: 1mbit, message: 200B}")[0]["flows"][1]
    assert (found["protocol"], found["congestion_control"], found["rate_bps"]) == ("udp", "udp", 1_000_000)


def test_flows_in_numbers_draw_an_amount_each(tmp_path: Path) -> None:
    flow = "flows.bulk={from: s2, to: d2, count: 20, amount: {distribution: pareto, mean: 100kB}}"
    amounts = [flow["limit_bytes"] for flow in jobs(tmp_path, flow)[0]["flows"][1:]]
    assert len(set(amounts)) == 20
