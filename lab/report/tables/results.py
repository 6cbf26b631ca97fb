# SPDX-License-Identifier: Apache-2.0
"""The table of results for the page and the summary, and the CSV files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab.analysis.metrics import FlowMetrics
from lab.analysis.statistics import Summary
from lab.evaluation.repetition import Measure
from lab.evaluation.trial import metric_rows, metric_schema
from lab.report.model import Report, Row
from lab.report.tables.events import event_tables
from lab.report.windows import any_cut, row_text


@dataclass(frozen=True)
class Column:
    """One column of the results table."""

    key: str
    """Prefix of the columns in ``results.csv``."""
    title: str
    unit: str
    measure: Measure
    """Function that returns the value of one flow, in the unit of the column."""
    digits: int
    """Number of significant digits of the mean."""
    decimals: int = 2
    """Largest number of decimals: hundredths of a millisecond or a percent are the smallest unit shown."""


COLUMNS = (
    Column("goodput_mbps", "Goodput", "Mbit/s", lambda row: _mbps(row.goodput_bps), 3, 6),
    Column("share_of_link", "Share of link", "%", lambda row: _scaled(row.share_of_link, 100), 3),
    Column("retransmits", "Retransmissions", "segments", lambda row: row.retransmits, 3, 0),
    Column("srtt_mean_ms", "Mean smoothed RTT", "ms", lambda row: _scaled(row.srtt_mean_us, 1e-3), 3),
    Column("srtt_p95_ms", "p95 smoothed RTT", "ms", lambda row: _scaled(row.srtt_p95_us, 1e-3), 3),
    Column("queueing_mean_ms", "Mean queueing delay", "ms", lambda row: _scaled(row.queueing_delay_mean_us, 1e-3), 3),
    Column("queueing_p95_ms", "p95 queueing delay", "ms", lambda row: _scaled(row.queueing_delay_p95_us, 1e-3), 3),
    Column("fct_median_ms", "p50 completion time", "ms", lambda row: _scaled(row.fct_median_us, 1e-3), 3),
    Column("fct_p95_ms", "p95 completion time", "ms", lambda row: _scaled(row.fct_p95_us, 1e-3), 3),
    Column("datagrams_lost", "Datagrams lost", "%", lambda row: _scaled(row.datagrams_lost_share, 100), 3),
    Column("jitter_mean_us", "Mean jitter", "µs", lambda row: row.jitter_mean_us, 3, 1),
    Column("reordered", "Datagrams reordered", "%", lambda row: _scaled(row.reordered_share, 100), 3),
    Column("jain_index", "Jain's fairness index", "", lambda row: row.jain_index, 3),
)
"""The columns of the results table, in their order."""


@dataclass(frozen=True)
class ResultLine:
    """A row of the results table, as text."""

    where: tuple[str, ...]
    """Values of the cell on the axes of the facets."""
    label: str
    """Label of the series."""
    n: int
    """Number of repetitions that are averaged."""
    measured: str
    """The measured window; empty if all of the time of all flows of the report is measured."""
    cells: tuple[tuple[str, str], ...]
    """Mean and spread in each column."""
    verdict: str
    note: str
    """Number of invalid and missing trials; empty if there are none."""


def result_columns(report: Report) -> list[Column]:
    """Return the columns in which at least one row has a value; rates are in the unit of the largest one."""
    found = [column for column in COLUMNS if any(row.values(column.measure) for row in report.rows)]
    unit, scale = report.rate_unit

    def goodput(row: FlowMetrics) -> float | None:
        return _scaled(row.goodput_bps, 1 / scale)

    return [replace(column, unit=unit, measure=goodput) if column.unit == "Mbit/s" else column for column in found]


def result_lines(report: Report) -> list[ResultLine]:
    """Return the rows of the results table."""
    columns, has_cut = result_columns(report), any_cut(report)
    return [
        ResultLine(
            where=row.facet,
            label=row.series.label,
            n=len(row.used),
            measured=row_text(row) if has_cut else "",
            cells=tuple(_cell(row.summary(column.measure), column) for column in columns),
            verdict=row.verdict,
            note=_note(row),
        )
        for row in report.rows
    ]


def number(value: float, digits: int, most_decimals: int = 6) -> str:
    """Return *value* as text with *digits* significant digits, at most *most_decimals* decimals, and no exponent."""
    if value == 0:
        return "0"
    # Round before counting the digits: 9.996, rounded to three digits, has two digits before the decimal point.
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits}g}"))))
    text = f"{value:.{min(max(0, digits - 1 - exponent), most_decimals)}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def write_tables(report: Report, folder: Path) -> None:
    """Write a CSV file to *folder* for each table: the results, the trials, the checks, and the tables of events."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: list[tuple[str, Sequence[str], Sequence[Mapping[str, Any]]]] = [
        ("results", *_results(report)),
        ("trials", *_trials(report)),
        ("validity", *_validity(report)),
    ]
    for name, names, lines in [*tables, *((table.name, table.names, table.rows) for table in event_tables(report))]:
        (folder / f"{name}.csv").write_bytes(_csv(names, lines).encode())


def _cell(summary: Summary | None, column: Column) -> tuple[str, str]:
    """Return mean and spread as text.

    The spread is the range of two repetitions, or half the confidence interval of three or more.
    """
    if summary is None:
        return "–", ""
    mean = number(summary.mean, column.digits, column.decimals)
    if summary.ci95 is None:
        return mean, ""
    if summary.n == 2:
        low, high = (number(value, column.digits, column.decimals) for value in (summary.low, summary.high))
        return mean, "" if low == high else f"{low}–{high}"
    decimals = len(mean.split(".")[1]) if "." in mean else 0
    spread = f"{summary.ci95:.{decimals}f}"
    if not summary.ci95:
        return mean, ""
    # A small spread must not be shown as 0, as if all repetitions were equal.
    return mean, f"± {spread}" if float(spread) else f"± <{10**-decimals:.{decimals}f}"


def _note(row: Row) -> str:
    notes = []
    if row.left_out:
        notes.append(f"{row.left_out} invalid, not averaged")
    if row.missing:
        notes.append(f"{row.missing} missing")
    return ", ".join(notes)


def _results(report: Report) -> tuple[list[str], list[Mapping[str, Any]]]:
    axes = [axis.label for axis in report.facet_axes]
    lines: list[Mapping[str, Any]] = []
    for row in report.rows:
        line: dict[str, Any] = dict(zip(axes, row.facet, strict=True))
        line |= {"kernel": row.series.kernel} if report.kernel_axis else {}
        line |= {"group": row.series.group, "congestion_control": row.series.algorithm, "n": len(row.used)}
        line |= {"left_out": row.left_out, "missing": row.missing, "verdict": row.verdict, "measured": row_text(row)}
        for column in COLUMNS:
            summary = row.summary(column.measure)
            parts = asdict(summary) if summary else dict.fromkeys(("mean", "sd", "low", "high", "ci95"))
            line |= {f"{column.key}_{part}": parts[part] for part in ("mean", "sd", "ci95", "low", "high")}
        lines.append(line)
    measures = [f"{column.key}_{part}" for column in COLUMNS for part in ("mean", "sd", "ci95", "low", "high")]
    axes += ["kernel"] if report.kernel_axis else []
    names = ["group", "congestion_control", "n", "left_out", "missing", "verdict", "measured"]
    return [*axes, *names, *measures], lines


def _trials(report: Report) -> tuple[list[str], list[Mapping[str, Any]]]:
    rows = [row for result in report.evaluated for row in metric_rows(result, report.axes)]
    return metric_schema(report.axes).names, list(rows)


def _validity(report: Report) -> tuple[list[str], list[Mapping[str, Any]]]:
    lines = [{"trial": result.trial.id, **asdict(check)} for result in report.done for check in result.checks]
    return ["trial", "id", "title", "verdict", "asked", "found", "threshold", "meaning"], list(lines)


def _csv(names: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> str:
    """Return *lines* as CSV (RFC 4180, but with plain newlines).

    Floats are written with all digits that Python needs to read them back, so nothing is rounded.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _mbps(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
