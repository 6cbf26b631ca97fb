# SPDX-License-Identifier: Apache-2.0
"""flent's data files: the numbers follow from what was recorded, and flent itself (the package of PyPI) opens them."""

from __future__ import annotations

import gzip
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError
from lab.export.flent import STEP_NS
from lab.export.formats import export
from lab.store.run import Run
from tests.data.raw import RawTrial
from tests.unit.export.conftest import Exported

Raw = Callable[[str], dict[str, RawTrial]]


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def flent(*arguments: object) -> str:
    command = [sys.executable, "-m", "flent", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stdout + done.stderr
    return done.stdout


def test_goodput_is_what_arrived_in_each_interval(exported: Exported, raw: Raw) -> None:
    found = read(exported("loss", "cubic-loss-2pct-r1", "flent"))
    x = found["x_values"]
    duration_ns = raw("loss")["cubic-loss-2pct-r1"].job["duration_ns"]
    assert x == [pytest.approx(number * 0.2) for number in range(-(-duration_ns // STEP_NS) + 1)]
    arrived = [row for row in raw("loss")["cubic-loss-2pct-r1"].rows("accounts") if row["side"] == "arrived"]
    values = found["results"]["TCP upload::1"]
    assert values[0] is None
    for number, value in enumerate(values[1:], 1):
        start, end = (number - 1) * STEP_NS, number * STEP_NS
        payload = sum(row["bytes"] - row["again_bytes"] for row in arrived if start <= row["t"] < end)
        assert value == pytest.approx(payload * 8 / 0.2 / 1e6)
    assert found["results"]["TCP upload sum"] == found["results"]["TCP upload avg"] == values
    raw_values = found["raw_values"]["TCP upload::1"]
    own = [entry["val"] for entry in raw_values if "val" in entry]
    assert own == values[1:]


def test_windows_are_those_that_hold_at_the_end_of_an_interval(exported: Exported, raw: Raw) -> None:
    found = read(exported("loss", "cubic-loss-2pct-r1", "flent"))
    rows = [row for row in raw("loss")["cubic-loss-2pct-r1"].rows("tcp_probe") if row["flow"] == "bulk"]
    flow = raw("loss")["cubic-loss-2pct-r1"].job["flows"][0]
    for number, (cwnd, rtt) in enumerate(
        zip(found["results"]["TCP upload::1::tcp_cwnd"], found["results"]["TCP upload::1::tcp_rtt"], strict=True)
    ):
        before = [row for row in rows if row["t"] <= number * STEP_NS and row["end"] == "source"]
        if not before or number * STEP_NS > flow["start_ns"] + flow["duration_ns"]:
            assert cwnd is rtt is None
        else:
            assert (cwnd, rtt) == (before[-1]["snd_cwnd"], pytest.approx(before[-1]["srtt_us"] / 1000))


def test_several_flows_and_probes(exported: Exported, raw: Raw) -> None:
    found = read(exported("short_flows", "discipline-bfifo-r1", "flent"))
    results = found["results"]
    flows = [f"TCP upload::{number}" for number in (1, 2, 3)]
    assert found["metadata"]["TEST_PARAMETERS"] == {"upload_streams": "3"}
    assert [found["metadata"]["SERIES_META"][name]["flow"] for name in flows] == ["long", "web", "rpc"]
    for at, rates in enumerate(zip(*(results[name] for name in flows), strict=True)):
        there = [rate for rate in rates if rate is not None]
        if there:
            assert results["TCP upload sum"][at] == pytest.approx(sum(there))
            assert results["TCP upload avg"][at] == pytest.approx(statistics.mean(there))
            squares = sum(rate**2 for rate in there)
            jain = sum(there) ** 2 / len(there) / squares if squares else None
            assert results["TCP upload fairness"][at] == pytest.approx(jain)
    rows = raw("short_flows")["discipline-bfifo-r1"].rows("latency")
    for name, probe in (("ICMP", "echo"), ("UDP", "datagrams"), ("TCP", "requests")):
        answered = [row["rtt_ns"] / 1e6 for row in rows if row["probe"] == probe and row["rtt_ns"]]
        assert [entry["val"] for entry in found["raw_values"][f"Ping (ms) {name}"]] == pytest.approx(answered)
        first = [row["rtt_ns"] / 1e6 for row in rows if row["probe"] == probe and 0 <= row["t"] < STEP_NS]
        assert results[f"Ping (ms) {name}"][1] == pytest.approx(statistics.mean(first))


def test_a_flow_has_no_rate_before_it_begins_and_after_its_end(exported: Exported, raw: Raw) -> None:
    found = read(exported("fairness", sorted(raw("fairness"))[0], "flent"))
    job = raw("fairness")[sorted(raw("fairness"))[0]].job
    flows = [flow for flow in job["flows"] if flow["protocol"] == "tcp"]
    assert any(flow["start_ns"] >= STEP_NS for flow in flows)
    for number, flow in enumerate(flows, 1):
        for at, value in enumerate(found["results"][f"TCP upload::{number}"]):
            start, end = (at - 1) * STEP_NS, at * STEP_NS
            sends = at > 0 and start < flow["start_ns"] + flow["duration_ns"] and end > flow["start_ns"]
            assert (value is not None) == sends


def test_flent_opens_it(exported: Exported, tmp_path: Path) -> None:
    path = exported("short_flows", "discipline-bfifo-r1", "flent")
    found = read(path)
    summary = flent("-i", path, "-f", "summary")
    assert "Title: 'short_flows discipline-bfifo-r1'" in summary
    lines = {line.partition(" : ")[0].strip(): line.partition(" : ")[2].split() for line in summary.splitlines()}
    goodput = [value for value in found["results"]["TCP upload::1"] if value is not None]
    assert float(lines["TCP upload::1"][0]) == pytest.approx(statistics.mean(goodput), abs=0.006)
    assert lines["TCP upload::1"][3] == "Mbits/s"
    pings = [entry["val"] for entry in found["raw_values"]["Ping (ms) ICMP"]]
    assert float(lines["Ping (ms) ICMP"][1]) == pytest.approx(statistics.median(pings), abs=0.006)
    for plot in ("totals", "upload", "tcp_cwnd"):
        picture = tmp_path / f"{plot}.png"
        flent("-i", path, "-p", plot, "-o", picture)
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_same_run_gives_the_same_bytes(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    run = replayed("failed")
    (one,), (other,) = (export(run, "flent", tmp_path / name) for name in ("one", "other"))
    assert one.name == "cubic-r1.flent.gz"
    assert one.read_bytes() == other.read_bytes()
    assert read(one)["metadata"]["TIME"].startswith(run.provenance["started"][:19])


def test_a_trial_without_tcp_is_refused(replayed: Callable[[str], Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no TCP flow, which flent's test tcp_nup consists of"):
        export(replayed("udp"), "flent", tmp_path / "out")
    assert not (tmp_path / "out").exists()
