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

from lab.analysis.intervals import ONE, Estimate, Interval
from lab.analysis.metrics import FlowMetrics
from lab.analysis.statistics import summarise
from lab.evaluation.rows import metric_schema
from lab.evaluation.trial import rows_of
from lab.report.model import Report, Row
from lab.report.tables.columns import COLUMNS, Column, goodput_bounds_in, probe_columns, scaled
from lab.report.tables.events import event_tables
from lab.report.windows import any_cut, row_text

MOST_SHOWN = 8
"""Number of columns up to which the table has those for which there is ``room``: more do not fit on the page."""


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
    """Mean and 95 % confidence interval in each column."""
    verdict: str
    note: str
    """Number of invalid and missing trials, and that repetitions are equal; empty if nothing is to be said."""

    @property
    def remarks(self) -> str:
        """The verdict, unless it is ``ok``, and the note; empty if there is nothing to remark."""
        return ", ".join(filter(None, (self.verdict if self.verdict != "ok" else "", self.note)))


def result_columns(report: Report) -> list[Column]:
    """Return the columns that the page shows, in which at least one row has a value.

    Rates are in the unit of the largest one.
    """
    wanted = {"yes", "room"} | ({"together"} if any(len(result.metrics) > 1 for result in report.done) else set())
    found = [
        column
        for column in all_columns(report)
        if column.shown in wanted and any(column.values(row) for row in report.rows)
    ]
    for column in reversed([column for column in found if column.shown == "room"]):
        if len(found) > MOST_SHOWN:
            found.remove(column)
    unit, scale = report.rate_unit

    def goodput(row: FlowMetrics) -> float | None:
        return scaled(row.goodput_bps, 1 / scale)

    return [
        replace(column, unit=unit, measure=goodput, bounds=goodput_bounds_in(scale))
        if column.unit == "Mbit/s"
        else column
        for column in found
    ]


def all_columns(report: Report) -> list[Column]:
    """Return the columns of ``results.csv``: those of every experiment, and those of the probes."""
    return [*COLUMNS, *probe_columns(report)]


def result_lines(report: Report) -> list[ResultLine]:
    """Return the rows of the results table."""
    columns, has_cut = result_columns(report), any_cut(report)
    return [
        ResultLine(
            where=row.facet,
            label=row.series.label,
            n=len(row.used),
            measured=row_text(row) if has_cut else "",
            cells=tuple(_cell(column.estimate(row), column) for column in columns),
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


def _cell(estimate: Estimate | None, column: Column) -> tuple[str, str]:
    """Return the mean and its interval as text; the interval is empty if there is none."""
    if estimate is None:
        return "–", ""
    mean = number(estimate.mean, column.digits, column.decimals)
    return mean, "" if estimate.of_mean is None else interval_text(estimate.of_mean, mean)


def interval_text(found: Interval, mean: str) -> str:
    """Return an interval as text, such as ``9.41–9.52``, with the decimals of the mean's text.

    If both limits would look like the mean, the text is ``± <0.01``: a narrow interval is not the same as none.
    """
    decimals = len(mean.partition(".")[2])
    low, high = (number(limit, 99, decimals) for limit in (found.low, found.high))
    return f"± <{10**-decimals:.{decimals}f}" if low == high else f"{low}–{high}"


def _note(row: Row) -> str:
    notes = []
    if row.left_out:
        notes.append(f"{row.left_out} invalid, not averaged")
    if row.missing:
        notes.append(f"{row.missing} missing")
    if row.are_equal:
        notes.append(f"no interval: {row.why_equal}")
    return ", ".join(notes)


PARTS = ("mean", "sd", "ci95", "low", "high", "ci95_low", "ci95_high", "median")
"""The columns of ``results.csv`` for each quantity; their names follow its key."""


def _results(report: Report) -> tuple[list[str], list[Mapping[str, Any]]]:
    axes, columns = [axis.label for axis in report.facet_axes], all_columns(report)
    lines: list[Mapping[str, Any]] = []
    for row in report.rows:
        line: dict[str, Any] = dict(zip(axes, row.facet, strict=True))
        line |= {"kernel": row.series.kernel} if report.kernel_axis else {}
        line |= {"group": row.series.group, "congestion_control": row.series.algorithm, "n": len(row.used)}
        line |= {"left_out": row.left_out, "missing": row.missing, "verdict": row.verdict, "measured": row_text(row)}
        line["no_interval"] = row.why_equal if row.are_equal else ONE if len(row.used) == 1 else ""
        for column in columns:
            line |= {f"{column.key}_{part}": value for part, value in _parts(row, column).items()}
        lines.append(line)
    measures = [f"{column.key}_{part}" for column in columns for part in PARTS]
    axes += ["kernel"] if report.kernel_axis else []
    names = ["group", "congestion_control", "n", "left_out", "missing", "verdict", "measured", "no_interval"]
    return [*axes, *names, *measures], lines


def _parts(row: Row, column: Column) -> dict[str, float | None]:
    summary, estimate = summarise(column.values(row)), column.estimate(row)
    if summary is None or estimate is None:
        return dict.fromkeys(PARTS)
    of_mean = estimate.of_mean
    return {
        "mean": summary.mean,
        "sd": summary.sd,
        "ci95": None if of_mean is None else summary.ci95,
        "low": summary.low,
        "high": summary.high,
        "ci95_low": None if of_mean is None else of_mean.low,
        "ci95_high": None if of_mean is None else of_mean.high,
        "median": estimate.median,
    }


def _trials(report: Report) -> tuple[list[str], list[Mapping[str, Any]]]:
    rows = [row for result in report.evaluated for row in rows_of(result, report.axes)]
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
