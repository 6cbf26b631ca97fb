# SPDX-License-Identifier: Apache-2.0
"""Tables: for the page, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.analysis.statistics import Summary
from lab.evaluation.repetition import Measure
from lab.evaluation.trial import metric_rows, metric_schema
from lab.report.model import Report, Row
from lab.report.tables.events import event_tables


@dataclass(frozen=True)
class Column:
    """One measure of the results table."""

    key: str
    title: str
    unit: str
    measure: Measure
    digits: int
    """Significant digits of the mean."""
    decimals: int = 2
    """At most these: a hundredth of a millisecond, a percent or a Mbit/s is the smallest unit shown."""


COLUMNS = (
    Column("goodput_mbps", "Goodput", "Mbit/s", lambda row: row.goodput_bps / 1e6, 3),
    Column("share_of_link", "Share of link", "%", lambda row: _scaled(row.share_of_link, 100), 3),
    Column("retransmits", "Retransmits", "segments", lambda row: row.retransmits, 3, 0),
    Column("srtt_mean_ms", "Mean srtt", "ms", lambda row: _scaled(row.srtt_mean_us, 1e-3), 3),
    Column("srtt_p95_ms", "95 % srtt", "ms", lambda row: _scaled(row.srtt_p95_us, 1e-3), 3),
    Column("queueing_mean_ms", "Mean queueing", "ms", lambda row: _scaled(row.queueing_delay_mean_us, 1e-3), 3),
    Column("queueing_p95_ms", "95 % queueing", "ms", lambda row: _scaled(row.queueing_delay_p95_us, 1e-3), 3),
    Column("fct_median_ms", "Median completion", "ms", lambda row: _scaled(row.fct_median_us, 1e-3), 3),
    Column("fct_p95_ms", "95 % completion", "ms", lambda row: _scaled(row.fct_p95_us, 1e-3), 3),
    Column("datagrams_lost", "Datagrams lost", "%", lambda row: _scaled(row.datagrams_lost_share, 100), 3),
    Column("jain_index", "Jain's index", "", lambda row: row.jain_index, 3),
)


@dataclass(frozen=True)
class ResultLine:
    """A row of the results table, as text."""

    where: tuple[str, ...]
    label: str
    n: int
    cells: tuple[tuple[str, str], ...]
    """(mean, spread) of each column."""
    verdict: str
    note: str


def result_columns(report: Report) -> list[Column]:
    """Return the columns for which there is any value."""
    return [column for column in COLUMNS if any(row.values(column.measure) for row in report.rows)]


def result_lines(report: Report) -> list[ResultLine]:
    """Return the results table."""
    columns = result_columns(report)
    return [
        ResultLine(
            where=row.facet,
            label=row.series.label,
            n=len(row.used),
            cells=tuple(_cell(row.summary(column.measure), column) for column in columns),
            verdict=row.verdict,
            note=_note(row),
        )
        for row in report.rows
    ]


def number(value: float, digits: int, most_decimals: int = 6) -> str:
    """Return *value* with *digits* significant digits, but at most *most_decimals*, and no exponent."""
    if value == 0:
        return "0"
    # Rounding first: 9.996 has two digits before the point once it is rounded to three.
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits}g}"))))
    text = f"{value:.{min(max(0, digits - 1 - exponent), most_decimals)}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def write_tables(report: Report, folder: Path) -> None:
    """Write results, trials, validity and what the collectors have seen to *folder*, one CSV file each."""
    folder.mkdir(parents=True, exist_ok=True)
    own: list[tuple[str, Sequence[str], Sequence[Mapping[str, Any]]]] = [
        ("results", *_results(report)),
        ("trials", *_trials(report)),
        ("validity", *_validity(report)),
    ]
    for name, names, lines in [*own, *((table.name, table.names, table.rows) for table in event_tables(report))]:
        (folder / f"{name}.csv").write_bytes(_csv(names, lines).encode())


def _cell(summary: Summary | None, column: Column) -> tuple[str, str]:
    """Return mean and spread as text: the range of two repetitions, the confidence interval of more."""
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
    # A spread that rounds to nothing is not nothing.
    return mean, f"± {spread}" if float(spread) else f"± <{10**-decimals:.{decimals}f}"


def _note(row: Row) -> str:
    notes = []
    if row.left_out:
        notes.append(f"{row.left_out} invalid left out")
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
        line |= {"left_out": row.left_out, "missing": row.missing, "verdict": row.verdict}
        for column in COLUMNS:
            summary = row.summary(column.measure)
            parts = asdict(summary) if summary else dict.fromkeys(("mean", "sd", "low", "high", "ci95"))
            line |= {f"{column.key}_{part}": parts[part] for part in ("mean", "sd", "ci95", "low", "high")}
        lines.append(line)
    measures = [f"{column.key}_{part}" for column in COLUMNS for part in ("mean", "sd", "ci95", "low", "high")]
    axes += ["kernel"] if report.kernel_axis else []
    return [*axes, "group", "congestion_control", "n", "left_out", "missing", "verdict", *measures], lines


def _trials(report: Report) -> tuple[list[str], list[Mapping[str, Any]]]:
    rows = [row for result in report.evaluated for row in metric_rows(result, report.axes)]
    return metric_schema(report.axes).names, list(rows)


def _validity(report: Report) -> tuple[list[str], list[Mapping[str, Any]]]:
    lines = [{"trial": result.trial.id, **asdict(check)} for result in report.done for check in result.checks]
    return ["trial", "id", "title", "verdict", "asked", "found", "threshold", "meaning"], list(lines)


def _csv(names: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> str:
    """Return RFC 4180 text, but with plain newlines; floats as Python writes them, so that nothing is rounded."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
