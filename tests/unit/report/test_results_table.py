# SPDX-License-Identifier: Apache-2.0
"""The results table: each number of the file against the raw records, and each text of the page against the file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.report.model import Report
from lab.report.tables import columns as columns_module
from lab.report.tables import results
from lab.report.tables.results import number, result_columns, result_lines, write_tables
from lab.store.run import Run
from tests.data.capture import EXPERIMENTS, names
from tests.data.raw import RawTrial
from tests.unit.report import expected

COLUMNS = (
    "goodput_mbps", "retransmits", "srtt_mean_ms", "srtt_p95_ms", "queueing_mean_ms", "queueing_p95_ms",
    "fct_median_ms", "fct_p95_ms", "datagrams_lost", "jitter_mean_us", "reordered", "jain_index",
)  # fmt: skip
MOMENTS = [int(line) for line in (EXPERIMENTS / "capacity" / "steps.mahimahi").read_text().split()]
# Within the 3 s of the trial, the file is read more than once.
CAPACITY_BPS = round(sum(at + begin < 3000 for begin in range(0, 3000, MOMENTS[-1]) for at in MOMENTS) * 1514 * 8 / 3)
RATES = {"native": 20e6, "udp": 2e6, "schedule": 3_333_333.0, "capacity": CAPACITY_BPS}
"""Of the bottlenecks, in bit/s; 4 Mbit/s elsewhere."""
PARTS = ("mean", "sd", "ci95", "low", "high", "ci95_low", "ci95_high", "median")


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def tables(name: str, reports: Callable[[str], Report], tmp_path: Path) -> Path:
    write_tables(reports(name), tmp_path)
    return tmp_path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same(text: str, value: float | None) -> bool:
    return text == "" if value is None else float(text) == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_every_number_is_that_of_the_raw_records(
    name: str,
    tables: Path,
    reports: Callable[[str], Report],
    replayed: Callable[[str], Run],
    raw: Callable[[str], dict[str, RawTrial]],
) -> None:
    report, lines = reports(name), expected.result_lines(replayed(name).path, raw(name))
    rows = read(tables / "results.csv")
    assert len(rows) == len(lines)
    for row in rows:
        facet = tuple(row[axis.label] for axis in report.facet_axes)
        line = lines[facet, row["group"], row["congestion_control"], row.get("kernel", "")]
        assert (int(row["n"]), int(row["left_out"]), row["verdict"]) == (len(line.used), line.left_out, line.verdict)
        equal, rate = line.are_equal, RATES.get(name, 4e6)
        ceiling = (1428 if name == "fairness" else 1448) / 1514
        # What shares cannot exceed, and no rate can exceed that of the link; everything else has no largest value.
        largest = {"goodput_mbps": rate / 1e6 * ceiling, "datagrams_lost": 100, "reordered": 100, "jain_index": 1}
        for key in COLUMNS:
            summary = expected.summary(line.values(key), largest.get(key), equal=equal)
            for part in PARTS:
                assert same(row[f"{key}_{part}"], summary[part]), (row, key, part, summary)
        share = expected.summary(line.values("goodput_mbps", share_of=rate), 100 * ceiling, equal=equal)
        assert ("are equal" in row["no_interval"], "one rep" in row["no_interval"]) == (equal, len(line.used) == 1)
        assert all(same(row[f"share_of_link_{part}"], share[part]) for part in PARTS), (row, share)


OTHERS = {
    "group_share": ("group_share", 100), "utilisation": ("utilisation", 100), "goodput_cv": ("goodput_cv", 1),
    "bottleneck_loss": ("bottleneck_loss_share", 100), "queueing_p99_ms": ("queueing_delay_p99_us", 1e-3),
    "srtt_median_ms": ("srtt_median_us", 1e-3), "srtt_p99_ms": ("srtt_p99_us", 1e-3),
    "power": ("power_bps_per_s", 1e-6),
    "queueing_median_ms": ("queueing_delay_median_us", 1e-3), "slowdown_mean": ("slowdown_mean", 1),
    "slowdown_p95": ("slowdown_p95", 1), "jain_over_time": ("jain_index_over_time", 1),
    "convergence_s": ("convergence_s", 1), "rate_rise_recovery_s": ("rate_rise_recovery_s", 1),
    "slow_start_s": ("slow_start_s", 1), "slow_start_overshoot": ("slow_start_overshoot", 1),
    "window_reductions": ("window_reductions", 1), "recoveries": ("recoveries", 1),
    "harm_goodput": ("harm_goodput", 100), "harm_rtt": ("harm_rtt", 100),
    "recovery_mean_s": ("recovery_mean_s", 1), "cwnd_limited": ("cwnd_limited_share", 100),
}  # fmt: skip
"""Column of the results → the column of trials.csv that it is the mean of, and by what that is multiplied."""


def test_every_column_is_the_mean_of_the_trials(name: str, tables: Path, reports: Callable[[str], Report]) -> None:
    report, trials = reports(name), read(tables / "trials.csv")
    assert {column.key for column in columns_module.COLUMNS} == {*COLUMNS, "share_of_link", *OTHERS}
    for row, line in zip(report.rows, read(tables / "results.csv"), strict=True):
        used = {item.evaluated.trial.id for item in row.used}
        own = [
            one
            for one in trials
            if one["trial"] in used
            and (one["group"], one["congestion_control"]) == (row.series.group, row.series.algorithm)
        ]
        for key, (column, factor) in OTHERS.items():
            means = []
            for trial in used:
                found = [float(one[column]) for one in own if one["trial"] == trial and one[column]]
                means += [sum(found) / len(found)] if found else []
            assert same(line[f"{key}_mean"], factor * sum(means) / len(means) if means else None), (key, line)


def test_probes_have_columns_in_the_rows_of_their_trials(
    name: str, tables: Path, reports: Callable[[str], Report], raw: Callable[[str], dict[str, RawTrial]]
) -> None:
    report = reports(name)
    for row, line in zip(report.rows, read(tables / "results.csv"), strict=True):
        trials = [raw(name)[item.evaluated.trial.id] for item in row.used]
        for probe in trials[0].job["probes"]:
            means = []
            for trial in trials:
                begin, end = probe["measured"]["start_ns"], probe["measured"]["end_ns"]
                is_whole = (begin, end) == (probe["start_ns"], probe["start_ns"] + probe["duration_ns"])
                times = [
                    one["rtt_ns"] / 1e6
                    for one in trial.rows("latency")
                    if one["probe"] == probe["name"] and one["rtt_ns"] and (is_whole or begin <= one["t"] < end)
                ]
                means.append(sum(times) / len(times))
            assert same(line[f"{probe['name']}_latency_mean_ms_mean"], sum(means) / len(means))
        if trials[0].job["probes"]:
            assert f"{trials[0].job['probes'][0]['name']}_latency_p95_ms" in {
                column.key for column in result_columns(report)
            }


def test_missing_trials_are_counted(tables: Path, name: str, replayed: Callable[[str], Run]) -> None:
    run = replayed(name)
    for row in read(tables / "results.csv"):
        # What failed here has a cell of its own.
        assert int(row["missing"]) == 0
    jobs = [trial.job for trial in run.trials() if trial.ok]
    assert len(read(tables / "trials.csv")) == sum(len(job["flows"]) + len(job["probes"]) for job in jobs)


def test_the_page_says_what_the_file_says(name: str, tables: Path, reports: Callable[[str], Report]) -> None:
    report = reports(name)
    columns, lines, rows = result_columns(report), result_lines(report), read(tables / "results.csv")
    assert len(lines) == len(rows)
    # A column is there only if any line has a value, and if it is important or there is room for it.
    with_values = [column for column in results.all_columns(report) if any(row[f"{column.key}_mean"] for row in rows)]
    shown = [column.key for column in columns]
    assert shown == [column.key for column in with_values if column.key in shown]
    assert {column.key for column in with_values if column.shown == "yes"} <= set(shown)
    assert not {column.key for column in columns_module.COLUMNS if column.shown == "no"} & set(shown)
    if any(column.shown == "room" for column in columns):
        assert len(shown) <= results.MOST_SHOWN
    several = any(len(result.metrics) > 1 for result in report.done)
    assert ("utilisation" in shown) == several
    for line, row in zip(lines, rows, strict=True):
        assert (line.n, line.verdict) == (int(row["n"]), row["verdict"])
        assert line.where == tuple(row[axis.label] for axis in report.facet_axes)
        assert row["congestion_control"] in line.label
        for column, (mean, spread) in zip(columns, line.cells, strict=True):
            value = row[f"{column.key}_mean"]
            if not value:
                assert (mean, spread) == ("–", "")
                continue
            scale = expected.unit(name)[1] if column.key == "goodput_mbps" else 1
            assert mean == number(float(value) * scale, column.digits, column.decimals)
            assert rounded(mean, float(value) * scale)
            low, high = (row[f"{column.key}_{part}"] for part in ("ci95_low", "ci95_high"))
            if not low:
                assert spread == ""
                assert line.n == 1 or row["no_interval"] or row[f"{column.key}_sd"] == "0.0"
                continue
            decimals = len(mean.partition(".")[2])
            limits = [float(limit) * scale for limit in (low, high)]
            if spread.startswith("± <"):
                assert float(spread.removeprefix("± <")) == 10**-decimals > limits[1] - limits[0]
                continue
            for text, limit in zip(spread.split("–"), limits, strict=True):
                assert rounded(text, limit)
                assert len(text.partition(".")[2]) in (decimals, 0)


def rounded(text: str, value: float) -> bool:
    """Whether *text* is *value* to its own last decimal."""
    shown = float(text.replace("\N{MINUS SIGN}", "-"))
    return abs(shown - value) <= 0.5000001 * 10.0 ** -len(text.partition(".")[2])


@pytest.mark.parametrize(
    ("value", "digits", "decimals", "text"),
    [
        (0, 3, 2, "0"),
        (9.4766, 3, 2, "9.48"),
        (9.996, 3, 2, "10.0"),
        (123.4, 3, 2, "123"),
        (1234.5, 3, 2, "1234"),
        (0.0123, 3, 2, "0.01"),
        (0.0123, 3, 6, "0.0123"),
        (-1.5, 2, 2, "\N{MINUS SIGN}1.5"),
        (-0.001, 3, 2, "0.00"),
        (17.6, 3, 0, "18"),
    ],
)
def test_numbers(value: float, digits: int, decimals: int, text: str) -> None:
    assert number(value, digits, decimals) == text


def test_trials_and_validity(
    name: str, tables: Path, reports: Callable[[str], Report], replayed: Callable[[str], Run]
) -> None:
    run, report = replayed(name), reports(name)
    metrics = run.metrics()
    rows = read(tables / "trials.csv")
    assert len(rows) == len(metrics)
    for row, stored in zip(rows, metrics, strict=True):
        assert row.keys() == stored.keys()
        for column, value in stored.items():
            text = row[column]
            if isinstance(value, int):
                assert int(text) == value, column
            elif isinstance(value, float):
                assert float(text) == value, column
            else:
                assert text == (value or ""), column
    checks = read(tables / "validity.csv")
    assert len(checks) == sum(len(result.checks) for result in report.done)
    for result in report.done:
        own = [(check["id"], check["verdict"], check["found"]) for check in checks if check["trial"] == result.trial.id]
        stored_checks = result.trial.validity
        assert stored_checks is not None
        assert own == [(check["id"], check["verdict"], check["found"]) for check in stored_checks]
