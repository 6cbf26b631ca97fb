# SPDX-License-Identifier: Apache-2.0
"""The rows of ``metrics.parquet``: kinds, axes as text and as numbers, and what only probes have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest

from lab.analysis.metrics import FlowMetrics
from lab.analysis.metrics.probe import Latency
from lab.evaluation.axes import RunAxis
from lab.evaluation.rows import IDENTITY, column_of, metric_schema
from lab.report.model import Report
from lab.store.run import Run
from tests.data.capture import names

OF_PROBES = {item.name for item in fields(Latency)}


@pytest.mark.parametrize("name", names())
def test_each_flow_and_each_probe_has_a_row(
    name: str, reports: Callable[[str], Report], replayed: Callable[[str], Run]
) -> None:
    report = reports(name)
    table = replayed(name).metrics_table()
    rows = table.to_pylist()
    expected = [
        (result.trial.id, item["name"], kind)
        for result in report.done
        for kind, items in (("flow", result.trial.job["flows"]), ("probe", result.trial.job["probes"]))
        for item in items
    ]
    found = [(row["trial"], row["flow"], "probe" if row["kind"] == "probe" else "flow") for row in rows]
    assert found == expected
    short = {flow["name"] for result in report.done for flow in result.trial.job["flows"] if flow["arrivals"]}
    for row in rows:
        assert (row["kind"] == "short_flows") == (row["flow"] in short)
        of_flows = {item.name for item in fields(FlowMetrics)}
        shared = {
            "kind",
            "flow",
            "group",
            "source",
            "destination",
            "start_s",
            "duration_s",
            "measured_from_s",
            "measured_to_s",
        }
        others = of_flows - shared if row["kind"] == "probe" else OF_PROBES
        assert {row[column] for column in others} == {None}
        if row["kind"] == "probe":
            assert row["requests"] > 0
            assert row["group"] == row["flow"]
        else:
            assert row["congestion_control"]


def test_numbers_of_axes_stand_beside_their_texts(
    replayed: Callable[[str], Run], reports: Callable[[str], Report]
) -> None:
    reports("loss")
    table = replayed("loss").metrics_table()
    assert table.schema.field("loss_value").metadata == {b"unit": b"fraction"}
    values = dict(zip(table.column("loss").to_pylist(), table.column("loss_value").to_pylist(), strict=True))
    assert values == {"0%": 0.0, "0.2%": 0.002, "2%": 0.02}
    assert "cc_value" not in table.schema.names


def test_no_axis_takes_the_name_of_another_column() -> None:
    axes = [RunAxis(f"x.{name}", name, (1, 2)) for name in ("flow", "requests", "trial", "cc")]
    assert [column_of(axis) for axis in axes] == ["axis_flow", "axis_requests", "axis_trial", "cc"]
    schema = metric_schema(axes)
    assert len(set(schema.names)) == len(schema.names)
    assert schema.names[: len(IDENTITY)] == list(IDENTITY)
    assert str(schema.field("axis_flow_value").type) == "double"
