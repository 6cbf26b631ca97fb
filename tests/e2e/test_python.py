# SPDX-License-Identifier: Apache-2.0
"""``lab.run`` with real trials: the same bytes as on the command line, from an event loop, and what is made of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lab as api

pytestmark = pytest.mark.vm

Lab = Callable[..., subprocess.CompletedProcess[str]]

FIELDS: dict[str, Any] = {
    "name": "python",
    "topology": {"kind": "dumbbell", "bottleneck": {"rate": "10mbit", "delay": "10ms"}},
    "flows": {"bulk": {"from": "s1", "to": "d1"}},
    "duration": "2s",
    "matrix": {"flows.bulk.cc": ["cubic", "bbr"]},
    "collect": {"tcp_probe": {}, "packets": {}},
}
EXPERIMENT = api.Experiment(**FIELDS)


@pytest.fixture(scope="module")
def run(lab_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    """The experiment, run in an event loop as in a notebook."""

    async def cell() -> api.Run:
        return api.run(
            EXPERIMENT, set={"report.defaults": False}, engine="uml", output=tmp_path_factory.mktemp("results")
        )

    return asyncio.run(cell())


def test_a_run_from_python_is_complete(run: api.Run) -> None:
    assert run.state == "complete"
    assert run.trials["trial"].to_list() == ["cubic-r1", "bbr-r1"]
    assert run.trials["verdict"].to_list() == ["ok", "ok"]
    assert run.metrics["goodput_bps"].is_between(9e6, 9.6e6).all()
    windows = run.scan("tcp_probe").group_by("trial").agg(pl.col("snd_cwnd").max()).collect()
    assert (windows["snd_cwnd"] > 20).all()


def test_a_bundle_is_chosen_by_its_digest(run: api.Run, tmp_path: Path) -> None:
    digest = run.provenance["bundle_digest"]
    few = {"report.defaults": False}
    again = api.run(EXPERIMENT, set=few, engine="uml", bundle=digest[:16], output=tmp_path)
    assert again.provenance["bundle_digest"] == digest
    assert again.provenance["results_digest"] == run.provenance["results_digest"]
    assert f"bundle=['{digest[:16]}']" in again.provenance["command"]
    with pytest.raises(api.LabError, match="found 0 bundles whose digest begins with 'nosuch'"):
        api.run(EXPERIMENT, set=few, engine="uml", bundle="nosuch", output=tmp_path)
    with pytest.raises(api.LabError, match=r"found bundles with uml-7\.3; the experiment runs on debian-13"):
        api.run(EXPERIMENT, set=few, engine="vm", bundle=[digest], output=tmp_path)


@pytest.mark.nightly
def test_the_command_line_repeats_and_verifies_it(run: api.Run, lab: Lab, tmp_path: Path) -> None:
    verified = lab("verify", str(run.path))
    assert (verified.returncode, verified.stdout) == (0, "2/2 byte-identical\n"), verified.stderr
    file = str(run.path / "experiment.yaml")
    few = ("--set", "report.defaults=false")
    again = lab("run", file, "--engine", "uml", "--no-cache", *few, "-o", str(tmp_path))
    assert again.returncode == 0, again.stderr
    repeated = api.load(again.stdout.splitlines()[-1])
    assert repeated.provenance["results_digest"] == run.provenance["results_digest"]


def test_tcpdump_and_flent_read_what_is_exported(run: api.Run, tmp_path: Path) -> None:
    (capture,) = run.to_pcap(tmp_path, "bbr-r1")
    packets = run.trace("packets", "bbr-r1")
    if shutil.which("tcpdump") is not None:
        done = subprocess.run(["tcpdump", "-nn", "-r", str(capture)], capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) == len(packets) > 1000
    (data,) = run.to_flent(tmp_path, "bbr-r1")
    command = [sys.executable, "-m", "flent", "-i", str(data), "-f", "summary"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "TCP upload::1::tcp_rtt" in done.stdout


def test_an_interrupt_stops_user_mode_linux_and_keeps_what_is_finished(lab_cache: Path, tmp_path: Path) -> None:
    script = f"""
import signal, lab
signal.signal(signal.SIGINT, signal.default_int_handler)
experiment = dict(
    name="interrupted", topology={{"kind": "dumbbell", "bottleneck": {{"rate": "10mbit", "delay": "10ms"}}}},
    flows={{"bulk": {{"from": "s1", "to": "d1"}}}}, duration="2s", matrix={{"duration": ["2s", "3600s"]}},
)
try:
    lab.run(experiment, engine="uml", jobs=1, output={str(tmp_path)!r})
except KeyboardInterrupt as interrupt:
    print(*interrupt.__notes__)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert process.stderr is not None
    with process:
        try:
            for line in process.stderr:
                if "done in" in line:
                    break
            process.send_signal(signal.SIGINT)
            said, _rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert said.startswith("1 of 2 trials are finished and kept in ")
    run = api.load(tmp_path / "interrupted" / "latest")
    assert run.state == "interrupted"
    assert run.trials["status"].to_list() == ["ok", "missing"]
    assert len(run.metrics) == 1
    assert not list(run.path.glob(".tmp-*"))
