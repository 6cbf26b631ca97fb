# SPDX-License-Identifier: Apache-2.0
"""The figures that can be asked for: what each kind draws, against the report's own numbers and the raw records."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage

from lab.analysis.intervals import UNBOUNDED, interval
from lab.errors import InputError
from lab.report.figures.asked import draw_figure
from lab.report.figures.compare import closed_forms
from lab.report.figures.compare.plane import ellipse
from lab.report.figures.compare.quantities import error_bar, estimated, metric, metric_names
from lab.report.figures.compare.share import share_of
from lab.report.figures.drawn import Drawn
from lab.report.figures.file import figure_of
from lab.report.figures.look.style import looks, shades
from lab.report.figures.over_time.envelope import envelope, is_dense
from lab.report.figures.over_time.fair import fair_share, share_over_time
from lab.report.figures.over_time.jain import jain_curve
from lab.report.model import Report
from lab.report.tables.results import result_columns
from tests.data.raw import RawTrial
from tests.unit.report.artists import legend_of, lines_of, points, visible

Reports = Callable[[str], Report]
Figures = Callable[[str], dict[str, Drawn]]
Raw = Callable[[str], dict[str, RawTrial]]


def drawn(report: Report, **fields: Any) -> Drawn:
    (found,) = draw_figure(report, figure_of(fields))
    return found


ALL = [
    ("loss", {"kind": "time", "y": "srtt"}),
    ("loss", {"kind": "time", "y": "queue"}),
    ("loss", {"kind": "time", "y": "pacing_rate"}),
    ("loss", {"kind": "time", "y": "in_flight"}),
    ("loss", {"kind": "cdf", "y": "srtt"}),
    ("short_flows", {"kind": "cdf", "y": "completions"}),
    ("short_flows", {"kind": "cdf", "y": "latency"}),
    ("loss", {"kind": "box", "y": "cwnd"}),
    ("short_flows", {"kind": "violin", "y": "latency"}),
    ("loss", {"kind": "heatmap", "x": "cc", "y": "loss", "z": "srtt"}),
    ("loss", {"kind": "against", "x": "loss", "y": "srtt"}),
    ("loss", {"kind": "against", "x": "retransmitted", "y": "goodput"}),
    ("udp", {"kind": "against", "x": "queue", "y": "goodput"}),
    ("loss", {"kind": "cells", "y": ["utilisation", "retransmitted"]}),
    ("loss", {"kind": "goodput-vs-delay"}),
    ("loss", {"kind": "phase"}),
    ("fairness", {"kind": "jain"}),
    ("fairness", {"kind": "share"}),
]


@pytest.mark.parametrize(("name", "fields"), ALL, ids=lambda value: value if isinstance(value, str) else value["kind"])
def test_each_kind_has_labels_a_caption_and_a_text_for_those_who_do_not_see_it(
    name: str, fields: dict[str, Any], reports: Reports
) -> None:
    found = drawn(reports(name), **fields)
    shown = [axes for axes in visible(found.figure) if axes.get_label() != "<colorbar>"]
    assert any(axes.get_xlabel() for axes in shown)
    assert found.caption.endswith(".")
    assert found.alt.endswith(".")
    labels = {label for axes in shown for label in (axes.get_xlabel(), axes.get_ylabel()) if label}
    assert any(label.split(" (")[0].split()[0].lower() in found.alt.lower() for label in labels), found.alt
    assert any(character.isdigit() for character in found.alt) or fields["kind"] == "phase"


def test_every_figure_of_a_report_has_such_a_text(figures: Figures) -> None:
    for name in ("loss", "short_flows", "fairness", "udp"):
        for one in figures(name).values():
            if not one.name.startswith(("events", "states")):
                assert one.alt, one.name


def test_a_title_is_above_the_figure(reports: Reports) -> None:
    found = drawn(reports("loss"), kind="goodput-vs-delay", title="What it costs")
    assert found.figure.get_suptitle() == "What it costs"


def test_in_flight_is_what_the_kernel_computes(reports: Reports, raw: Raw) -> None:
    found = drawn(reports("loss"), kind="time", y="in_flight")
    row = reports("loss").rows_of(("0%",))[0]
    trial = raw("loss")[row.median().evaluated.trial.id]
    axes = next(axes for axes in visible(found.figure) if axes.get_title("left") == "loss 0%")
    (line,) = lines_of(axes, legend_of(found.figure)[row.series.label], linewidth=0.9)
    wanted = {
        (round(r["t"] / 1e9, 9), float(r["packets_out"] - r["sacked_out"] - r["lost_out"] + r["retrans_out"]))
        for r in trial.rows("tcp_probe")
        if r["flow"] == "bulk"
    }
    assert {(round(x, 9), y) for x, y in points(line)} <= wanted


def test_the_pacing_rate_is_in_bits(reports: Reports, raw: Raw) -> None:
    found = drawn(reports("loss"), kind="time", y="pacing_rate")
    row = reports("loss").rows_of(("0%",))[0]
    trial = raw("loss")[row.median().evaluated.trial.id]
    axes = next(axes for axes in visible(found.figure) if axes.get_title("left") == "loss 0%")
    (line,) = lines_of(axes, legend_of(found.figure)[row.series.label], linewidth=0.9)
    rates = [r["pacing_rate"] * 8 / 1e6 for r in trial.rows("tcp_probe") if r["flow"] == "bulk"]
    assert max(y for _, y in points(line)) == pytest.approx(max(rate for rate in rates if rate < 1e7))


def test_the_colours_of_a_heat_map_are_means(reports: Reports) -> None:
    found = drawn(reports("loss"), kind="heatmap", x="cc", y="loss", z="goodput")
    (image,) = [
        child for axes in visible(found.figure) for child in axes.get_children() if isinstance(child, AxesImage)
    ][:1]
    table = np.asarray(image.get_array())
    rows = {(row.series.algorithm, row.facet[0]): row for row in reports("loss").rows}
    for line, loss in enumerate(("0%", "0.2%", "2%")):
        for column, algorithm in enumerate(("cubic", "bbr")):
            summary = rows[algorithm, loss].summary(lambda flow: flow.goodput_bps)
            assert summary is not None
            assert table[line, column] == pytest.approx(summary.mean / 1e6)


def test_a_box_is_made_of_quantiles(reports: Reports) -> None:
    found = drawn(reports("short_flows"), kind="box", y="completions")
    axes = visible(found.figure)[0]
    from lab.report.cells import cells_with
    from lab.report.tables.completions import milliseconds, of_cell

    (first, *_) = cells_with(reports("short_flows"), ["completions"]).values()
    times = milliseconds(of_cell(first, axes.get_title("left")))
    medians = [line for line in axes.get_lines() if line.get_linewidth() == 1.2]
    assert np.asarray(medians[0].get_xdata())[0] == pytest.approx(np.quantile(times[times > 0], 0.5))


def test_the_shares_of_all_groups_add_up(reports: Reports) -> None:
    for facet in reports("fairness").facets:
        shares = [share_of(row) for row in reports("fairness").rows_of(facet)]
        known = [one for one in shares if one is not None]
        algorithms = {row.used[0].evaluated.trial.id for row in reports("fairness").rows_of(facet)}
        if len(algorithms) == 1:
            assert sum(one.percent[0] for one in known) == pytest.approx(100)
        assert all(0 < one.own < one.flows for one in known)


def test_jains_index_over_time_is_that_of_the_flows_that_run() -> None:
    x = np.arange(0.0, 5.1, 0.1)
    one, other = np.full(len(x), 3e6), np.full(len(x), 1e6)
    job = {"flows": [{"name": "a", "arrivals": None}, {"name": "b", "arrivals": None}]}
    late = x + 2.0
    curves = {
        "a": SimpleNamespace(goodput=(x, one), base_rtt=None),
        "b": SimpleNamespace(goodput=(late, other), base_rtt=None),
    }
    found = jain_curve(SimpleNamespace(trial=SimpleNamespace(job=job), curves=curves))  # type: ignore[arg-type]
    assert found is not None
    times, values = found
    assert np.isnan(values[times < 1.5]).all()
    # (3 + 1)² / (2 · (9 + 1))
    assert values[(times > 1.5) & (times < 4.5)] == pytest.approx(0.8)


def test_asking_for_what_does_not_exist(reports: Reports) -> None:
    with pytest.raises(InputError, match=r"--y: found 'cwmd'.*did you mean 'cwnd'"):
        figure_of({"kind": "time", "y": "cwmd"})
    with pytest.raises(InputError, match="did you mean 'heatmap'"):
        figure_of({"kind": "heatmpa"})
    with pytest.raises(InputError, match=r"x: found 'los'; expected an axis of the matrix .*did you mean 'loss'"):
        draw_figure(reports("loss"), figure_of({"kind": "against", "x": "los"}))
    # There were no probes.
    assert draw_figure(reports("loss"), figure_of({"kind": "cdf", "y": "latency"})) == []


def test_the_metrics_of_the_schema_are_those_of_the_figures() -> None:
    from typing import get_args

    from lab.experiment.schema.report import MetricName

    assert list(get_args(MetricName)) == metric_names()


# --- what comparisons are made of --------------------------------------------------------------------------


def test_no_bar_ends_below_zero_or_above_what_is_possible() -> None:
    # The mean is 15 and the deviation 6.0828: Student's interval is 15 ± 15.11.
    for bounds, expected in (((0.0, 19.1), (15.0, 4.1)), (UNBOUNDED, (15.11, 15.11))):
        wide = interval([8.0, 18.0, 19.0], bounds)
        assert wide is not None
        assert error_bar(wide) == pytest.approx(expected, abs=0.001)
    few = interval([8.0, 22.0])
    assert few is not None
    assert error_bar(few) == (0.0, 0.0)


def test_figures_have_the_intervals_of_the_table(reports: Callable[[str], Report]) -> None:
    report = reports("loss")
    (column,) = (one for one in result_columns(report) if one.key == "goodput_mbps")
    for row in report.rows:
        shown, tabled = estimated(report, metric(report, "goodput"), row), column.estimate(row)
        assert shown is not None
        assert tabled is not None
        assert (shown.of_mean is None) == (tabled.of_mean is None)
        if shown.of_mean and tabled.of_mean:
            assert (shown.of_mean.low, shown.of_mean.high) == pytest.approx((tabled.of_mean.low, tabled.of_mean.high))


def test_the_closed_forms_are_those_of_the_papers() -> None:
    # Mathis et al. 1997, equation 3 with C = √(3/2): 38.7 segments at a loss of 0.1 %.
    assert closed_forms.reno_window(0.001, 0.04) == pytest.approx(38.73, abs=0.01)
    # RFC 9438, equation 6: 1.054 · RTT^0.75 / p^0.75; table 1 has 1209 ... for an RTT of 0.1 s.
    assert closed_forms.cubic_window(1e-6, 0.1) == pytest.approx(1.054 * 0.1**0.75 / 1e-6**0.75, rel=1e-3)
    # In the Reno-friendly region CUBIC is as fast as Reno.
    assert closed_forms.cubic_window(0.01, 0.01) == closed_forms.reno_window(0.01, 0.01)


def one_flow(algorithm: str, *, model: str = "random", flows: int = 1, rate: int = 20_000_000) -> list[Any]:
    """A row of one repetition of a flow with a base RTT of 40 ms."""
    netem = {"loss": {"model": model, "values": [0.001]}}
    ways = {"ab": {"netem": netem, "changes": [], "capacity": None}, "ba": {"netem": None, "changes": []}}
    job = {"flows": [{}] * flows, "links": [ways], "mtu": 1500, "ip": "ipv4"}
    measured = SimpleNamespace(bottleneck_bps=rate, ceiling=1448 / 1514, declared_rtt_us=40_000.0)
    evaluated = SimpleNamespace(trial=SimpleNamespace(job=job))
    return [SimpleNamespace(used=[SimpleNamespace(flows=[measured], evaluated=evaluated)])]


def test_closed_forms_stay_within_their_range() -> None:
    report: Any = SimpleNamespace(rate_unit=("Mbit/s", 1e6))
    losses = [0.0, 0.01, 0.1, 1.0, 10.0]
    for algorithm in ("reno", "cubic"):
        found = closed_forms.curve(report, one_flow(algorithm), algorithm, losses)
        assert len(found) > 10
        # From where the link carries the window, up to 2 %.
        assert 0.01 < found[0][0] < 0.1
        assert found[-1][0] == pytest.approx(2)
        assert all(rate <= 20 * 1448 / 1514 for _loss, rate in found)
    reno = dict(closed_forms.curve(report, one_flow("reno"), "reno", [0.1, 1.0]))
    # 38.73 segments of 1448 B in 40 ms.
    assert reno[0.1] == pytest.approx(38.73 * 1448 * 8 / 0.04 / 1e6, rel=1e-3)
    assert closed_forms.curve(report, one_flow("bbr"), "bbr", losses) == []
    assert closed_forms.curve(report, one_flow("reno"), "reno", [0.0]) == []
    # Losses in bursts and several flows on a link are not what the models describe.
    assert closed_forms.curve(report, one_flow("reno", model="gemodel"), "reno", losses) == []
    assert closed_forms.curve(report, one_flow("reno", flows=2), "reno", losses) == []


def test_goodput_against_delay_cuts_off_no_marker(figures: Figures) -> None:
    for name in ("loss", "udp", "fairness", "kernels"):
        if "goodput-vs-delay" not in figures(name):
            continue
        (axes,) = figures(name)["goodput-vs-delay"].figure.axes
        left, right = axes.get_xlim()
        low, high = axes.get_ylim()
        assert low == 0
        marks = [line for line in axes.get_lines() if line.get_linestyle() == "None"]
        for line in marks:
            assert not line.get_clip_on()
            assert all(right <= x <= left and low <= y < high for x, y in points(line))
        if axes.get_xscale() == "linear":
            assert left >= 1.0
            assert right <= 0
        assert any(text.get_text() == "better" for text in axes.texts)


def test_the_ellipse_has_one_standard_deviation() -> None:
    cloud = np.array([[1.0, 10.0], [3.0, 10.0], [1.0, 12.0], [3.0, 12.0]])
    outline = ellipse(cloud, logarithmic=False)
    assert outline is not None
    assert outline.mean(axis=0) == pytest.approx([2, 11], abs=0.05)
    assert (outline.min(axis=0), outline.max(axis=0)) == (
        pytest.approx([1, 10], abs=1e-2),
        pytest.approx([3, 12], abs=1e-2),
    )
    assert ellipse(cloud[:2], logarithmic=False) is None
    assert ellipse(np.full((4, 2), 3.0), logarithmic=False) is None
    spread = ellipse(np.array([[1.0, 1], [10.0, 2], [100.0, 3]]), logarithmic=True)
    assert spread is not None
    assert spread[:, 0].min() > 0
    assert math.sqrt(spread[:, 0].min() * spread[:, 0].max()) == pytest.approx(10, rel=0.01)


def test_short_flows_beside_cubic_have_no_colour_of_another_algorithm(figures: Figures) -> None:
    others = {look.colour.lower() for name, look in looks(["bbr", "reno", "vegas", "dctcp", "bbr3"]).items()}
    for name in ("completions", "latency", "completions-size"):
        assert not others & set(legend_of(figures("short_flows")[name].figure).values())


# --- over time ---------------------------------------------------------------------------------------------


def test_flows_of_a_series_have_shades(figures: Figures, reports: Reports) -> None:
    row = next(row for row in reports("fairness").rows if len(row.median().curves()) == 3)
    wanted = {one.lower() for one in shades(row.series.look.solid_colour, 3)}
    panels = visible(figures("fairness")["cwnd"].figure)
    found = [{to_hex(line.get_color()) for line in axes.get_lines() if line.get_linewidth() == 0.9} for axes in panels]
    assert wanted in found
    assert "Shades from dark to light" in figures("fairness")["cwnd"].caption
    assert "Shades" not in figures("loss")["cwnd"].caption


def test_what_swings_too_often_is_drawn_as_its_median_and_extremes() -> None:
    x = np.linspace(0, 30, 6000)
    saw = np.where(np.arange(6000) % 10 < 7, 100.0, 40.0)
    saw[1234] = 180.0
    assert is_dense((x, saw), 30.0)
    found = envelope((x, saw))
    assert found.middle == pytest.approx(100)
    assert found.low == pytest.approx(40)
    assert found.high.max() == 180
    # A curve that changes slowly is a line, however many points it has.
    assert not is_dense((x, 50 + 40 * np.sin(x / 3)), 30.0)
    assert not is_dense((x[:50], saw[:50]), 30.0)


def test_the_fair_share_is_the_capacity_by_the_number_of_flows(reports: Reports) -> None:
    (row,) = reports("crowd").rows
    found = fair_share([row])
    assert found is not None
    times, share = found
    # All nine start within 200 ms and run for 2 s, on a link of 4 Mbit/s.
    assert share[np.searchsorted(times, 1.0) - 1] == pytest.approx(4e6 * 1448 / 1514 / 9)
    # A flow that is alone has the whole link, which is drawn anyway.
    assert fair_share(reports("loss").rows_of(("0%",))[:1]) is None


def test_the_fair_share_over_a_long_time() -> None:
    # A new flow each 25 s, with a jitter; the capacity is known in bins of 0.4 s, and falls at 80 s.
    starts = [10_000_000, 25_900_000_000, 50_100_000_000, 75_500_000_000]
    bins = np.arange(0, 130.2, 0.4)
    capacity = np.where(bins < 80, 12.0, 6.0)
    found = share_over_time([(start, 130_000_000_000 + start % 10**9) for start in starts], (bins, capacity))
    assert found is not None
    times, share = found
    assert times == pytest.approx([0.01, 25.9, 50.1, 75.5, 80.0, 130.9])
    assert share == pytest.approx([12, 6, 4, 3, 1.5, 1.5])
    assert share_over_time([(0, 10), (0, 10)], (bins, capacity)) is not None


def test_a_capacity_that_changes_is_never_drawn_as_its_mean(figures: Figures) -> None:
    for name in ("schedule", "capacity"):
        for figure in ("goodput-by-cell", "goodput-vs-delay"):
            axes = figures(name)[figure].figure.axes[0]
            across = [line for line in axes.get_lines() if [x for x, _ in points(line)] == [0.0, 1.0]]
            upright = [line for line in axes.get_lines() if [y for _, y in points(line)] == [0.0, 1.0]]
            assert not across
            assert not upright
            assert "The capacity changes" in figures(name)[figure].caption
