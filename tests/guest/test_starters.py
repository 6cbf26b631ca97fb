# SPDX-License-Identifier: Apache-2.0
"""The starters of Reno and CUBIC do the same as the kernel's own algorithms on the same path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lab.experiment.read.load import load_experiment
from lab.job.protocol import Job
from lab.plan.plan import make_plan
from lab.store.rows import read_rows
from tests.conftest import record_in
from tests.mistakes import STARTERS

pytestmark = [pytest.mark.vm, pytest.mark.nightly]

EXPERIMENT = """
name: starters
engine: vm
kernel: KERNEL
topology:
  kind: dumbbell
  pairs: 1
  bottleneck: {rate: 8mbit, delay: 25ms, queue: {discipline: bfifo, limit: 1bdp}}
flows:
  one: {from: s1, to: d1}
# The starter of CUBIC has no HyStart.
modules:
  cubic: {hystart: 0}
duration: 25s
matrix:
  flows.one.cc: [ALGORITHMS]
collect:
  tcp_probe:
"""
SETTLED_S = 4
"""When slow start, and the recovery at its end, are over."""
BASE_RTT_MS = 50.0
MSS = 1448
SEGMENT_MS = 1514 * 8 / 8e6 * 1e3
"""The time that a full segment takes at the bottleneck, in milliseconds."""
PAYLOAD_BPS = 8e6 * MSS / 1514
"""The highest goodput that the bottleneck allows."""
RECOVERY = 3
"""TCP_CA_Recovery."""


@dataclass(frozen=True)
class Sawtooth:
    """What the sender of a flow did after slow start."""

    goodput_bps: float
    """The rate at which data were acknowledged."""
    period_s: float
    """The mean time between two reductions of the window."""
    amplitude: float
    """By how many segments a reduction makes the window smaller, on average."""
    teeth: int
    srtt_ms: float
    """The mean of the smoothed round trip time."""
    names: frozenset[str]
    """What the kernel calls the algorithm."""
    own: frozenset[str]
    """The names of the values that the algorithm has recorded."""


def sawtooth(directory: Path) -> Sawtooth:
    """Read the record of a trial."""
    record = record_in(directory)
    assert record["status"] == "ok", record.get("error")
    described = record["collectors"]["tcp_probe"]
    assert described["lost"] == 0
    (flow,) = record["flows"]
    rows: NDArray[Any] = read_rows(directory, "tcp_probe", described)
    rows = rows[(rows["sport"] == flow["source_port"]) & (rows["is_transmit"] == 0)]
    rows = rows[np.argsort(rows["ts_ns"], kind="stable")]
    seconds = (rows["ts_ns"].astype(np.int64) - record["traffic_start_ns"]) / 1e9
    begins = np.flatnonzero((rows["ca_state"][1:] == RECOVERY) & (rows["ca_state"][:-1] != RECOVERY))
    begins = begins[seconds[begins] > SETTLED_S]
    peaks = rows["snd_cwnd"][begins].astype(float)
    after = rows["ssthresh"][begins + 1].astype(float)
    settled = np.flatnonzero(seconds > SETTLED_S)
    first, last = settled[0], settled[-1]
    acked = int(rows["snd_una"][last] - rows["snd_una"][first])
    own = record["collectors"].get("cc_trace")
    traced: Any = read_rows(directory, "cc_trace", own)["name"] if own is not None else []
    return Sawtooth(
        acked * 8 / float(seconds[last] - seconds[first]),
        float(np.diff(seconds[begins]).mean()) if len(begins) > 1 else np.nan,
        float((peaks - after).mean()) if len(begins) else np.nan,
        len(begins),
        float(rows["srtt_us"][settled].mean() / 1000),
        frozenset(name.tobytes().rstrip(b"\0").decode() for name in rows["ca_name"]),
        frozenset(name.tobytes().rstrip(b"\0").decode() for name in traced),
    )


KERNELS = ("debian-12", "debian-13", "debian-13-backports")


@pytest.fixture(scope="module", params=KERNELS)
def teeth(
    run_job: Callable[[Job], Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, Sawtooth]:
    """The name of each algorithm → what its sender did on one of the kernels."""
    return run_all(request.param, "reno, ./reno.bpf.c, cubic, ./cubic.bpf.c", run_job, tmp_path_factory)


def run_all(
    kernel: str, algorithms: str, run_job: Callable[[Job], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Sawtooth]:
    """Run a flow with each of the algorithms, of which some are starters."""
    folder = tmp_path_factory.mktemp("starters")
    for path in STARTERS:
        (folder / path.name).write_bytes(path.read_bytes())
    text = EXPERIMENT.replace("KERNEL", kernel).replace("ALGORITHMS", algorithms)
    (folder / "starters.yaml").write_text(text)
    trials = make_plan(load_experiment(folder / "starters.yaml").checked).trials
    return {trial.job["flows"][0]["congestion_control"]: sawtooth(run_job(trial.job)) for trial in trials}


@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_a_starter_tracks_the_kernels_own_algorithm(teeth: dict[str, Sawtooth], name: str) -> None:
    kernel, own = teeth[name], teeth[f"my_{name}"]
    assert kernel.names == frozenset({name})
    assert own.names == frozenset({f"my_{name}"})
    assert min(kernel.teeth, own.teeth) >= 4
    assert own.goodput_bps == pytest.approx(kernel.goodput_bps, rel=0.03)
    assert own.period_s == pytest.approx(kernel.period_s, rel=0.1)
    assert own.amplitude == pytest.approx(kernel.amplitude, rel=0.1)


def test_starters_record_their_own_values(teeth: dict[str, Sawtooth]) -> None:
    assert teeth["reno"].own == frozenset()
    assert teeth["my_reno"].own == frozenset({"acked"})
    assert teeth["my_cubic"].own == frozenset({"w_max", "k_ms", "target"})


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_other_starters_do_what_they_say(
    run_job: Callable[[Job], Path], tmp_path_factory: pytest.TempPathFactory, kernel: str
) -> None:
    algorithms = "./fixed.bpf.c, ./delay.bpf.c, ./rate.bpf.c"
    found = run_all(kernel, algorithms, run_job, tmp_path_factory)
    fixed, delay, rate = found["my_fixed"], found["my_delay"], found["my_rate"]
    # One window of 20 segments in each round trip; nothing waits but the burst of a delayed ACK.
    assert fixed.goodput_bps == pytest.approx(20 * MSS * 8e3 / fixed.srtt_ms, rel=0.01)
    assert fixed.srtt_ms < BASE_RTT_MS + 2 * SEGMENT_MS
    # Between two and four segments in the queue, and the one that is being sent.
    assert delay.goodput_bps == pytest.approx(PAYLOAD_BPS, rel=0.01)
    assert BASE_RTT_MS + 2 * SEGMENT_MS < delay.srtt_ms < BASE_RTT_MS + 6 * SEGMENT_MS
    assert delay.teeth == 0
    # The path is full, and the queue is short but for one round trip in eight.
    assert rate.goodput_bps > 0.95 * PAYLOAD_BPS
    assert rate.srtt_ms < BASE_RTT_MS + 6 * SEGMENT_MS
