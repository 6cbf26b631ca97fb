# SPDX-License-Identifier: Apache-2.0
"""Compare what a report says about the collectors' rows with the rows themselves."""

from __future__ import annotations

import csv
import re
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import SHIPPED, lab_command

pytestmark = pytest.mark.vm

EVERYTHING = "{tcp_probe: , flow: , life: , states: , retrans: , resets: , destroy: , packets: , drops: , " + (
    "queue: {every_packet: true}}"
)


@pytest.fixture(scope="module")
def run_dir(lab_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run by ``lab run``: CUBIC and BBR with 1 % random loss, a shallow queue and all collectors."""
    results = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [
            *(str(lab_command()), "run", str(SHIPPED), "--engine", "uml", "--output", str(results)),
            *("--set", "repeat=1", "--set", "duration=5s", "--set", f"collect={EVERYTHING}"),
            *("--set", "matrix.topology.bottleneck.loss=[1%]", "--set", "topology.bottleneck.queue.limit=0.25bdp"),
        ],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(results.glob("*/latest")).resolve()


def table(run_dir: Path, name: str) -> list[dict[str, str]]:
    with (run_dir / "report" / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def page(run_dir: Path) -> str:
    return re.sub(r"<[^>]*>", "", (run_dir / "report" / "index.html").read_text())


def trials(run_dir: Path) -> list[Path]:
    found = sorted((run_dir / "trials").iterdir())
    assert len(found) == 2
    return found


def test_drops_agree_with_tc_and_the_page_says_so(run_dir: Path) -> None:
    by_queues = sum(
        int(line["packets"])
        for line in table(run_dir, "drops")
        if line["cause"] in ("random_loss", "queue_overflow", "aqm")
    )
    assert by_queues > 20
    assert f"agree at every interface of every trial: {by_queues} packets" in page(run_dir)


def test_every_drop_is_in_the_table(run_dir: Path) -> None:
    stored: Counter[str] = Counter()
    for trial in trials(run_dir):
        stored.update(pq.read_table(trial / "drops.parquet").column("cause").to_pylist())
    counted: Counter[str] = Counter()
    for line in table(run_dir, "drops"):
        counted[line["cause"]] += int(line["packets"])
    assert counted == stored


def test_a_line_for_each_end_of_each_connection(run_dir: Path) -> None:
    lines = table(run_dir, "connections")
    for trial in trials(run_dir):
        own = [line for line in lines if line["trial"] == trial.name]
        # There are two connections with two ends each: the data connection and iperf3's control connection, which
        # belongs to no flow.
        assert Counter(line["flow"] for line in own) == {"bulk": 2, "–": 2}
        ended = pq.read_table(trial / "life.parquet").to_pylist()
        assert sorted(int(line["sent_bytes"]) for line in own) == sorted(row["tx_bytes"] for row in ended)


def test_states_follow_one_another_without_gaps(run_dir: Path) -> None:
    ends: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for line in table(run_dir, "states"):
        ends.setdefault(tuple(line[name] for name in ("trial", "node", "local", "remote")), []).append(line)
    assert len(ends) == 4 * len(trials(run_dir))
    for lines in ends.values():
        assert "ESTABLISHED" in [line["state"] for line in lines]
        for line, following in pairwise(lines):
            end = float(line["start_s"]) + float(line["seconds"])
            assert abs(end - float(following["start_s"])) < 1e-6


def test_no_queue_is_longer_than_its_limit(run_dir: Path) -> None:
    for line in table(run_dir, "queues"):
        assert float(line["mean_packets"]) <= float(line["p95_packets"]) <= float(line["max_packets"])
        # A packet waits at most for a full queue, which is a quarter of 40 ms, and for the packet that is being sent.
        assert 0 < float(line["sojourn_p50_ms"]) <= float(line["sojourn_max_ms"]) < 12
        assert int(line["packets"]) > 1000


def test_segments_are_those_received(run_dir: Path) -> None:
    for trial in trials(run_dir):
        stored = pq.read_table(trial / "packets.parquet").num_rows
        lines = [line for line in table(run_dir, "segments") if line["trial"] == trial.name]
        assert sum(int(line["segments"]) for line in lines) == stored
        # The connection for data has a SYN and a SYN-ACK.
        assert sum(int(line["SYN"]) for line in lines) >= 2


def test_each_section_is_on_the_page(run_dir: Path) -> None:
    text = page(run_dir)
    for heading in ("Where packets died", "Queue at the bottleneck", "Connections", "Resets", "Segments received"):
        assert heading in text
    figures = {path.stem for path in (run_dir / "report" / "figures").glob("*.png")}
    assert {"events", "states-1", "states-2"} <= figures
