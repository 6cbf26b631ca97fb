# SPDX-License-Identifier: Apache-2.0
"""Stored runs as Python objects: what they give is what was recorded, and what is not there is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

import lab
from lab.evaluation.trial import evaluate_run
from lab.store.run import Run
from lab.units import value_text
from tests.data.capture import EXPERIMENTS
from tests.data.raw import RawTrial
from tests.unit.api.conftest import Loaded, bare_copy

Raw = Callable[[str], dict[str, RawTrial]]


def copied(run: lab.Run, folder: Path) -> Path:
    """A copy of the run, with which a test may do what it likes."""
    return bare_copy(run.path, folder / run.experiment / run.id)


# --- what the run is -----------------------------------------------------------------------------------------


def test_what_a_run_says_of_itself(loaded: Loaded) -> None:
    run = loaded("loss")
    assert (run.experiment, run.title, run.state) == ("loss", "Loss, captured", "complete")
    assert run.experiment_text == (EXPERIMENTS / "loss.yaml").read_text(encoding="utf-8")
    assert run.provenance["command"] == "lab run loss.yaml"
    assert run.plan["axes"][0]["values"] == ("cubic", "bbr")
    assert repr(run) == f"<Run loss {run.id}: complete>"


def test_plan_and_provenance_cannot_be_changed(loaded: Loaded) -> None:
    run = loaded("loss")
    with pytest.raises(TypeError):
        run.plan["name"] = "other"  # type: ignore[index]
    with pytest.raises(TypeError):
        run.plan["trials"][0]["job"]["seed"] = 1
    copy = run.plan.copy()
    copy["trials"][0]["job"]["seed"] = 1
    assert run.plan["trials"][0]["job"]["seed"] != 1
    assert json.loads(json.dumps(copy))["name"] == "loss"
    assert repr(run.plan["axes"][0]) == repr(dict(run.plan["axes"][0]) | {"values": ["cubic", "bbr"]})


def test_a_link_and_a_folder_are_the_same_run(replayed: Callable[[str], Run]) -> None:
    stored = replayed("loss")
    assert lab.load(str(stored.path.parent / "latest")).path == lab.load(stored.path).path == stored.path


def test_what_is_no_run(loaded: Loaded, tmp_path: Path) -> None:
    with pytest.raises(lab.InputError, match="there is no such folder"):
        lab.load(tmp_path / "nowhere")
    with pytest.raises(lab.InputError, match=r"contains no experiment\.yaml"):
        lab.load(tmp_path)


# --- trials, checks, metrics ---------------------------------------------------------------------------------


def test_trials_have_their_cells_and_verdicts(loaded: Loaded, raw: Raw) -> None:
    run = loaded("loss")
    trials = run.trials
    assert trials["trial"].to_list() == [trial["id"] for trial in run.plan["trials"]]
    assert trials["seed"].to_list() == [raw("loss")[trial].job["seed"] for trial in trials["trial"]]
    cells = {cell["id"]: cell["values"] for cell in run.plan["cells"]}
    for row, planned in zip(trials.iter_rows(named=True), run.plan["trials"], strict=True):
        cell = cells[planned["cell"]]
        assert row["cc"] == cell["flows.bulk.cc"]
        assert row["loss"] == value_text(cell["topology.bottleneck.loss"])
        assert row["repetition"] == planned["repetition"]
        assert (row["status"], row["error"]) == ("ok", None)
        worst = run.checks.filter(trial=row["trial"])["verdict"].unique().to_list()
        assert row["verdict"] == next(name for name in ("invalid", "warn", "ok") if name in worst)


def test_a_failed_trial_has_its_error(loaded: Loaded) -> None:
    trials = loaded("failed").trials
    failed = trials.filter(pl.col("status") == "failed").row(0, named=True)
    assert failed["trial"] == "nosuch-r1"
    assert "no congestion control nosuch" in failed["error"]
    assert failed["verdict"] is None
    assert trials.filter(trial="cubic-r1")["status"].item() == "ok"


def test_a_trial_that_did_not_run_is_missing(loaded: Loaded, tmp_path: Path) -> None:
    copy = copied(loaded("loss"), tmp_path)
    shutil.rmtree(copy / "trials" / "bbr-loss-2pct-r3")
    run = lab.load(copy)
    gone = run.trials.filter(trial="bbr-loss-2pct-r3").row(0, named=True)
    assert (gone["status"], gone["verdict"], gone["cc"], gone["loss"]) == ("missing", None, "bbr", "2%")
    with pytest.raises(lab.UnknownNameError, match=r"bbr-loss-2pct-r3 of .* has not been run"):
        run.trace("tcp_probe", trial="bbr-loss-2pct-r3")
    assert run.metrics["trial"].n_unique() == 17


def test_metrics_are_made_if_they_are_not_there(loaded: Loaded, replayed: Callable[[str], Run], tmp_path: Path) -> None:
    copy = copied(loaded("loss"), tmp_path)
    made = lab.load(copy).metrics
    evaluate_run(replayed("loss"))
    expected = pq.read_table(replayed("loss").path / "metrics.parquet").to_pylist()
    assert made.to_dicts() == expected
    # The run has ended, so that what was computed is kept.
    assert pq.read_table(copy / "metrics.parquet").to_pylist() == expected
    assert lab.load(copy).metrics.to_dicts() == expected
    assert all((trial / "validity.json").exists() for trial in (copy / "trials").iterdir())


def test_nothing_is_written_into_a_run_that_may_still_run(loaded: Loaded, tmp_path: Path) -> None:
    copy = copied(loaded("loss"), tmp_path)
    (copy / "provenance.json").unlink()
    before = sorted(copy.rglob("*"))
    run = lab.load(copy)
    assert run.state == "unfinished"
    assert len(run.metrics) == 18
    assert set(run.trials["verdict"]) <= {"ok", "warn", "invalid"}
    assert sorted(copy.rglob("*")) == before


def test_metrics_have_the_axes_of_the_trials(loaded: Loaded) -> None:
    run = loaded("loss")
    both = run.metrics.join(run.trials, on=["trial", "cc", "loss", "repetition", "seed", "verdict"])
    assert len(both) == len(run.metrics) == 18


def test_damaged_metrics_are_an_error_of_the_store(loaded: Loaded, tmp_path: Path) -> None:
    copy = copied(loaded("failed"), tmp_path)
    (copy / "metrics.parquet").write_bytes(b"PAR1")
    with pytest.raises(lab.StoreError, match=r"cannot read .*metrics\.parquet"):
        _ = lab.load(copy).metrics


# --- traces --------------------------------------------------------------------------------------------------


def test_a_trace_has_what_was_recorded(loaded: Loaded, raw: Raw) -> None:
    trial = raw("everything")["cubic-r1"]
    for collector, columns in {
        "tcp_probe": ("snd_cwnd", "srtt_us", "is_transmit", "flow", "end", "node"),
        "packets": ("seq", "ack", "length", "flags", "flow", "end", "node", "interface"),
    }.items():
        trace = loaded("everything").trace(collector, trial="cubic-r1")
        # What passes over the management link is not part of the experiment.
        rows = [row for row in trial.rows(collector) if row.get("interface") != "mgmt"]
        assert "trial" not in trace.columns
        assert trace["time_ns"].to_list() == [row["t"] for row in rows]
        for column in columns:
            assert trace[column].to_list() == [row[column] for row in rows], column


def test_the_rows_of_all_trials(loaded: Loaded, raw: Raw) -> None:
    run = loaded("loss")
    trace = run.trace("tcp_probe", columns=["snd_cwnd", "flow"])
    assert trace.columns == ["trial", "snd_cwnd", "flow"]
    for trial, own in raw("loss").items():
        found = trace.filter(trial=trial)
        assert found["snd_cwnd"].to_list() == [row["snd_cwnd"] for row in own.rows("tcp_probe")]
    some = ["bbr-loss-2pct-r1", "cubic-loss-0pct-r2"]
    assert run.trace("tcp_probe", some)["trial"].unique(maintain_order=True).to_list() == some


def test_the_rows_of_a_flow(loaded: Loaded, raw: Raw) -> None:
    run = loaded("loss")
    own = run.trace("tcp_probe", "bbr-loss-0pct-r1", flow="bulk", columns=["time_ns"])
    rows = raw("loss")["bbr-loss-0pct-r1"].rows("tcp_probe")
    assert own["time_ns"].to_list() == [row["t"] for row in rows if row["flow"] == "bulk"]
    assert own.columns == ["time_ns"]
    # Texts are of the same type as in the metrics.
    joined = run.trace("tcp_probe", flow="bulk").join(run.metrics, on=["trial", "flow"])
    assert joined["goodput_bps"].null_count() == 0
    assert len(joined) == len(run.trace("tcp_probe", flow="bulk"))


def test_the_rows_of_short_flows_and_probes(loaded: Loaded, raw: Raw) -> None:
    run, trial = loaded("short_flows"), "discipline-bfifo-r1"
    rows = raw("short_flows")[trial]
    assert len(run.trace("completions", trial, flow="rpc")) == sum(
        row["group"] == "rpc" for row in rows.rows("completions")
    )
    assert run.trace("latency", trial, flow="echo")["rtt_ns"].to_list() == [
        row["rtt_ns"] for row in rows.rows("latency") if row["probe"] == "echo"
    ]


def test_a_scan_reads_nothing_before_it_is_collected(loaded: Loaded, tmp_path: Path) -> None:
    run = lab.load(copied(loaded("loss"), tmp_path))
    scan = run.scan("tcp_probe").group_by("trial").agg(pl.col("snd_cwnd").max()).sort("trial")
    found = scan.collect()
    assert found.equals(
        run.trace("tcp_probe").group_by("trial").agg(pl.col("snd_cwnd").max()).sort("trial"), null_equal=True
    )
    alone = run.scan("tcp_probe", "bbr-loss-0pct-r1")
    assert "trial" not in alone.collect_schema().names()
    shutil.rmtree(run.path / "trials" / "bbr-loss-0pct-r1")
    with pytest.raises((OSError, pl.exceptions.PolarsError)):
        alone.collect()


def test_brackets_in_the_path_are_no_pattern(loaded: Loaded, tmp_path: Path) -> None:
    run = lab.load(copied(loaded("failed"), tmp_path / "a[1]*" / "cc=cubic"))
    trace = run.trace("tcp_probe", "cubic-r1")
    assert trace.equals(loaded("failed").trace("tcp_probe", "cubic-r1"))


def test_a_damaged_trace_is_an_error_of_the_store(loaded: Loaded, tmp_path: Path) -> None:
    run = lab.load(copied(loaded("failed"), tmp_path))
    path = run.path / "trials" / "cubic-r1" / "tcp_probe.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    for more in ({}, {"flow": "bulk"}, {"columns": ["time_ns"]}):
        with pytest.raises(lab.StoreError, match="cannot read"):
            run.trace("tcp_probe", "cubic-r1", **more)


def test_units_are_those_of_the_file(loaded: Loaded) -> None:
    units = loaded("loss").units("tcp_probe")
    assert (units["snd_cwnd"], units["srtt_us"], units["flow"]) == ("segments", "microseconds", "")
    assert list(units) == loaded("loss").trace("tcp_probe", "bbr-loss-0pct-r1").columns


def test_collectors_are_the_tables_of_the_trials(loaded: Loaded, raw: Raw) -> None:
    recorded = set(raw("everything")["cubic-r1"].record["collectors"])
    assert set(loaded("everything").collectors) == recorded
    assert {"accounts", "backlog", "losses", "sockets"} <= recorded


@pytest.mark.parametrize(
    ("collector", "options", "message"),
    [
        ("tcp_prob", {}, "has no collector 'tcp_prob'; did you mean 'tcp_probe'?"),
        ("tcp_prob", {"trial": "bbr-loss-0pct-r1"}, "did you mean 'tcp_probe'?"),
        ("packets", {}, "has no collector 'packets'"),
        ("tcp_probe", {"trial": "bbr-loss-0pct-r4"}, "has no trial 'bbr-loss-0pct-r4'; did you mean 'bbr-loss-0pct-r"),
        ("tcp_probe", {"trial": ["bbr-loss-0pct-r1", "x"]}, "has no trial 'x'"),
        ("tcp_probe", {"trial": []}, "found an empty list of trials"),
        ("tcp_probe", {"trial": "../x"}, "has no trial '../x'"),
        ("tcp_probe", {"flow": "bluk"}, "has no flow 'bluk'; did you mean 'bulk'?"),
        ("backlog", {"flow": "bulk"}, "the rows of backlog belong to no flow"),
        ("tcp_probe", {"columns": ["cwnd"]}, "has no column 'cwnd'; did you mean 'snd_cwnd'?"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(
    loaded: Loaded, collector: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(lab.UnknownNameError) as caught:
        loaded("loss").trace(collector, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_failed_trial_has_no_trace(loaded: Loaded) -> None:
    run = loaded("failed")
    with pytest.raises(lab.UnknownNameError, match=r"nosuch-r1 of .* failed: .*no congestion control nosuch"):
        run.trace("tcp_probe", trial="nosuch-r1")
    assert run.trace("tcp_probe")["trial"].unique().to_list() == ["cubic-r1"]


# --- other formats -------------------------------------------------------------------------------------------


def test_exports_of_a_run(loaded: Loaded, tmp_path: Path) -> None:
    run, out = loaded("everything"), tmp_path / "out"
    assert run.to_pcap(out, "bbr-r1") == [out / "bbr-r1.pcapng"]
    assert run.to_flent(out) == [out / "cubic-r1.flent.gz", out / "bbr-r1.flent.gz"]
    assert run.to_tcpprobe(out, run.trials["trial"]) == [out / "cubic-r1.bulk.tcpprobe", out / "bbr-r1.bulk.tcpprobe"]
    assert run.to_csv(out, "bbr-r1", collectors=["states"]) == [out / "bbr-r1.states.csv"]
    assert run.to_csv(out)[0] == out / "metrics.csv"
    with pytest.raises(lab.UnknownNameError, match="has no trial 'bbr-r2'; did you mean 'bbr-r1'"):
        run.to_pcap(out, "bbr-r2")
    with pytest.raises(lab.UnknownNameError, match="found an empty list of trials"):
        run.to_csv(out, [])
    with pytest.raises(lab.InputError, match="has no table 'nosuch'"):
        run.to_csv(out, collectors=["nosuch"])


# --- other libraries -----------------------------------------------------------------------------------------


def test_pandas_gets_the_same_values(loaded: Loaded) -> None:
    pytest.importorskip("pandas")
    run = loaded("loss")
    for frame in (run.metrics, run.trials, run.checks, run.trace("tcp_probe", "bbr-loss-0pct-r1")):
        converted = frame.to_pandas()
        assert list(converted.columns) == frame.columns
        assert len(converted) == len(frame)
    assert run.metrics.to_pandas()["goodput_bps"].mean() == pytest.approx(run.metrics["goodput_bps"].mean())
    assert run.trials.to_pandas()["cc"].tolist() == run.trials["cc"].to_list()


# --- figures and notebooks -----------------------------------------------------------------------------------


def test_figures_are_those_of_the_report(loaded: Loaded) -> None:
    run = loaded("failed")
    assert run.figures[0] == "topology"
    assert {"cwnd", "srtt", "goodput"} <= set(run.figures)
    figure = run.figure("cwnd")
    assert isinstance(figure, Figure)
    figure.axes[0].set_ylabel("cwnd")
    assert run.figure("cwnd").axes[0].get_ylabel() != "cwnd"  # a figure of its own
    with pytest.raises(lab.UnknownNameError, match=r"has no figure 'cwmd'; did you mean 'cwnd'\?"):
        run.figure("cwmd")


def test_a_figure_shows_itself_and_can_be_saved(loaded: Loaded, tmp_path: Path) -> None:
    figure = loaded("failed").figure("cwnd")
    shown: bytes = figure._repr_png_()  # type: ignore[attr-defined]
    assert shown.startswith(b"\x89PNG")
    figure.set_size_inches(3, 2)
    assert figure._repr_png_() != shown  # type: ignore[attr-defined]
    figure.savefig(tmp_path / "cwnd.pdf")
    assert (tmp_path / "cwnd.pdf").read_bytes().startswith(b"%PDF")


def test_a_run_shows_itself(loaded: Loaded, tmp_path: Path) -> None:
    copy = copied(loaded("loss"), tmp_path)
    plan = json.loads((copy / "plan.json").read_text())
    plan["title"] = "<script>"
    (copy / "plan.json").write_text(json.dumps(plan))
    run = lab.load(copy)
    assert run.report is None
    (copy / "report").mkdir()
    (copy / "report" / "index.html").write_text("")
    html = run._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    for text in ("complete", "18 unjudged", "cubic, bbr", "0%, 0.2%, 2%", run.id):
        assert text in html
    assert f'<a href="{(copy / "report" / "index.html").as_uri()}">' in html


# --- the package ---------------------------------------------------------------------------------------------


def test_public_names_are_there_and_no_others() -> None:
    assert all(getattr(lab, name) is not None for name in lab.__all__)
    assert set(lab.__all__) <= set(dir(lab))
    assert lab.__all__ == sorted(lab.__all__)
    assert lab.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = lab.lode
