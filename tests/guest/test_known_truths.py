# SPDX-License-Identifier: Apache-2.0
"""Check what is known about TCP from standards, papers and the kernel's source, on both engines with virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lab.job.protocol import Job
from lab.store.rows import read_rows
from tests.conftest import FAST_AND_AT_NIGHT_VM, job_of, record_in

pytestmark = pytest.mark.vm

MSS = 1448
SEGMENT_MS = 1514 * 8 / 20e6 * 1e3
"""The time that a full segment takes at the bottleneck, in milliseconds."""
PAYLOAD_BPS = 20e6 * MSS / 1514
"""The highest goodput that the bottleneck allows."""
RTT_MS = 40.0
"""The base RTT."""
OPEN, RECOVERY = 0, 3
"""Values of ``ca_state`` (TCP_CA_Open, TCP_CA_Recovery)."""
INFINITE = 2**31 - 1
"""The slow-start threshold as long as nothing has set it."""


class Sender:
    """The rows of ``tcp_probe`` at the sender of the only flow, in order of time."""

    def __init__(self, directory: Path) -> None:
        record = record_in(directory)
        assert record["status"] == "ok", record.get("error")
        described = record["collectors"]["tcp_probe"]
        assert described["lost"] == 0
        rows = read_rows(directory, "tcp_probe", described)
        (flow,) = record["flows"]
        rows = rows[rows["sport"] == flow["source_port"]]
        self.rows: NDArray[Any] = rows[np.argsort(rows["ts_ns"], kind="stable")]
        self.seconds = (self.rows["ts_ns"].astype(np.int64) - record["traffic_start_ns"]) / 1e9

    def received(self) -> NDArray[Any]:
        """The rows of segments that the sender received, which are ACKs, after the handshake."""
        rows: NDArray[Any] = self.rows[(self.rows["is_transmit"] == 0) & (self.rows["packets_out"] > 0)]
        return rows

    def between(self, first_s: float, last_s: float) -> NDArray[Any]:
        chosen = (self.seconds >= first_s) & (self.seconds < last_s) & (self.rows["is_transmit"] == 0)
        rows: NDArray[Any] = self.rows[chosen]
        return rows


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def send(run_job: Callable[[Job], Path], request: pytest.FixtureRequest) -> Callable[..., Sender]:
    """A function that runs a flow on a kernel of each engine and returns what its sender saw."""

    def run(cc: str, *overrides: str) -> Sender:
        return Sender(run_job(job_of(*overrides, cc=cc, kernel=request.param)))

    return run


def acked_bps(rows: NDArray[Any]) -> float:
    """The rate at which data were acknowledged between the first and the last row."""
    acked = int(rows["snd_una"][-1] - rows["snd_una"][0])
    return acked * 8e9 / float(rows["ts_ns"][-1] - rows["ts_ns"][0])


def test_a_full_link_carries_its_payload_rate(send: Callable[..., Sender]) -> None:
    # As soon as the queue never empties, the headers are all that is missing (RFC 5166, section 2.1).
    assert acked_bps(send("cubic", "duration=10s").between(4, 10)) == pytest.approx(PAYLOAD_BPS, rel=0.001)


def test_the_first_flight_has_ten_segments(send: Callable[..., Sender]) -> None:
    # RFC 6928.  iperf3 sends a cookie of 37 bytes first, in a segment of its own.
    probe = "collect={tcp_probe: {transmit: true}}"
    sender = send("reno", "duration=1s", probe, "topology.bottleneck.queue.limit=4bdp")
    sent = sender.rows[(sender.rows["is_transmit"] == 1) & (sender.rows["data_len"] > 37)]
    gap = np.flatnonzero(np.diff(sent["ts_ns"].astype(np.int64)) > 0.5 * RTT_MS * 1e6)[0] + 1
    # The ACK of the cookie has opened the window by one segment.
    assert int(sent["data_len"][:gap].sum()) in (10 * MSS, 11 * MSS)


def test_slow_start_doubles_the_window_in_each_round_trip(send: Callable[..., Sender]) -> None:
    # RFC 5681: each segment that is acknowledged opens the window by one segment, until the first loss.
    sender = send("reno", "duration=2s", "topology.bottleneck.queue.limit=8bdp")
    rows = sender.received()
    rows = rows[(rows["ssthresh"] == INFINITE) & (rows["ca_state"] == OPEN)]
    opened = (rows["snd_cwnd"] - rows["snd_cwnd"][0]).astype(np.int64)
    acked = (rows["snd_una"] - rows["snd_una"][0]).astype(np.int64) / MSS
    assert opened[-1] > 100
    assert np.all(np.abs(opened - acked) <= 2)


def after_the_first_cut(sender: Sender) -> tuple[int, int]:
    """The window before the first recovery, and the slow-start threshold in it, in segments."""
    rows = sender.received()
    first = int(np.flatnonzero(rows["ca_state"] == RECOVERY)[0])
    return int(rows["snd_cwnd"][first - 1]), int(rows["ssthresh"][first])


def test_reno_halves_its_window(send: Callable[..., Sender]) -> None:
    before, threshold = after_the_first_cut(send("reno", "duration=4s", "topology.bottleneck.queue.limit=2bdp"))
    assert abs(threshold - before // 2) <= 1  # RFC 5681, equation 4


def test_cubic_multiplies_its_window_by_0_7(send: Callable[..., Sender]) -> None:
    before, threshold = after_the_first_cut(send("cubic", "duration=4s", "topology.bottleneck.queue.limit=2bdp"))
    assert abs(threshold - before * 717 // 1024) <= 1  # RFC 9438, section 4.6; the kernel's beta is 717/1024


def test_bbr_goes_through_its_modes_with_their_gains(send: Callable[..., Sender]) -> None:
    # draft-cardwell-iccrg-bbr-congestion-control-00; the kernel's gains are in units of 1/256 (net/ipv4/tcp_bbr.c).
    sender = send("bbr", "duration=12s")
    rows = sender.received()[1:]  # The first ACK is what gives BBR its first model and gain.
    startup, drain, probe_bw, probe_rtt = (rows[rows["ca_mode"] == mode] for mode in range(4))
    assert set(startup["ca_gain"]) == {2885 * 256 // 1000 + 1}
    assert set(drain["ca_gain"]) == {256 * 1000 // 2885}
    assert set(probe_bw["ca_gain"]) == {256 * 5 // 4, 256 * 3 // 4, 256}
    # In each cycle, a phase that probes for more bandwidth is followed by one that drains what this has queued, unless
    # ProbeRTT comes between them.
    phases = [
        (int(mode), int(gain)) for (mode, gain), _rows in itertools.groupby(rows[["ca_mode", "ca_gain"]].tolist())
    ]
    after_probing = {after for before, after in itertools.pairwise(phases) if before == (2, 256 * 5 // 4)}
    assert after_probing - {(3, 256)} == {(2, 256 * 3 // 4)}
    # Bandwidth is estimated from delivered payload and its largest value of ten round trips is used.
    assert float(np.median(probe_bw["ca_bandwidth"])) * 8 == pytest.approx(PAYLOAD_BPS, rel=0.02)
    # After ten seconds without a new minimum of the RTT, the window is four segments for 200 ms and one round trip.
    times = probe_rtt["ts_ns"].astype(np.int64) / 1e9
    assert 0.2 <= times[-1] - times[0] <= 0.2 + 4 * RTT_MS / 1e3
    assert int(probe_rtt["snd_cwnd"].min()) == 4


def test_vegas_keeps_two_to_four_segments_in_the_queue(send: Callable[..., Sender]) -> None:
    # Brakmo and Peterson, 1995; alpha and beta are 2 and 4 in net/ipv4/tcp_vegas.c.
    rows = send("vegas", "duration=10s").between(5, 10)
    queued = (rows["srtt_us"] / 1e3 - RTT_MS) / SEGMENT_MS
    assert 1.5 <= float(np.median(queued)) <= 5.5  # One more segment is being sent.
    assert acked_bps(rows) == pytest.approx(PAYLOAD_BPS, rel=0.01)


def test_codel_keeps_the_standing_queue_near_its_target(send: Callable[..., Sender]) -> None:
    # RFC 8289: the target is 5 ms.  Without CoDel, this queue would hold up to 160 ms.
    queue = "topology.bottleneck.queue={discipline: codel, limit: 4bdp}"
    rows = send("cubic", "duration=10s", queue).between(4, 10)
    queueing_ms = rows["srtt_us"] / 1e3 - RTT_MS
    assert 0.5 <= float(np.mean(queueing_ms)) <= 8
    assert acked_bps(rows) == pytest.approx(PAYLOAD_BPS, rel=0.1)
