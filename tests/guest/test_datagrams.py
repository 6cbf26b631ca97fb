# SPDX-License-Identifier: Apache-2.0
"""Jitter, reordering and loss of datagrams, against what follows from how netem delays, reorders and loses packets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.job import kernels
from lab.job.accounts import DatagramCounts
from lab.job.protocol import Job
from tests.conftest import FAST_AND_AT_NIGHT_VM, record_in
from tests.guest.dumbbell import flow, job

pytestmark = pytest.mark.vm

RunJob = Callable[[Job], Path]

SPACING_MS = 2.0
"""A datagram of 250 bytes at 1 Mbit/s."""
SECONDS = 10
SENT = int(SECONDS * 1000 / SPACING_MS)


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def kernel(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module", params=FAST_AND_AT_NIGHT_VM)
def each_kernel(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def sent_over(run_job: RunJob, kernel: str, **link: Any) -> tuple[Path, DatagramCounts]:
    """Run a flow of datagrams over a link; return its record and what the kernel counted."""
    flows = {"u": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "1mbit", "message": "250B"}}
    directory = run_job(job(kernel, flows, link, f"{SECONDS}s"))
    counts = flow(record_in(directory), "u")["accounts"]["datagrams"]
    assert counts is not None
    assert abs(counts["left"] - SENT) <= 2
    return directory, counts


def mean_jitter_us(counts: DatagramCounts) -> float:
    # J begins at 0 and approaches its mean with a gain of 1/16: in total, 16 datagrams' worth is missing.
    return counts["jitter_sum_ns"] / (counts["arrived"] - 16) / 1000


def reordered_share(counts: DatagramCounts) -> float:
    return counts["reordered"] / counts["arrived"]


def extents(numbers: list[int]) -> Iterator[int]:
    """Yield the extent of each reordered packet (RFC 4737, section 4.2.1); *numbers* are in the order of arrival."""
    for place, number in enumerate(numbers):
        # Not more than twenty are sent while the delays of two differ.
        overtaking = [other for other in range(max(0, place - 20), place) if numbers[other] > number]
        if overtaking:
            yield place - overtaking[0]


def within(share: float, samples: int) -> float:
    """Four standard deviations of the share of *samples* that are independent of each other."""
    return 4 * math.sqrt(share * (1 - share) / samples)


def test_without_impairments_there_is_no_jitter(run_job: RunJob, kernel: str) -> None:
    _, counts = sent_over(run_job, kernel)
    # In a virtual machine, the processor needs time for a packet, and not always the same.
    assert mean_jitter_us(counts) < (0.5 if kernel in kernels.UML else 20)
    # J has a sixteenth of a datagram's lateness, such as that of a sender that wakes up late just before the end.
    assert counts["jitter_last_ns"] < (500 if kernel in kernels.UML else 250_000)
    assert (counts["reordered"], counts["extents"], counts["extent_max"]) == (0, 0, 0)
    # What leaves within the last 10 ms arrives after the declared end.
    assert 4 <= counts["left"] - counts["arrived"] <= 6
    assert counts["left_arrived"] == counts["left"]


def test_jitter_is_the_mean_difference_of_two_delays(run_job: RunJob, kernel: str) -> None:
    directory, counts = sent_over(run_job, kernel, jitter="400us")
    # The mean difference of two numbers from a uniform distribution of width L is L/3.
    expected_us = 2 * 400 / 3
    # Its variance is L²/18, and the correlation of two differences that share a delay is 0.1.
    deviation_us = math.sqrt(800**2 / 18 * 1.2 / SENT)
    assert mean_jitter_us(counts) == pytest.approx(expected_us, abs=4 * deviation_us + 5)
    # In a virtual machine, iperf3 may be late once, and then sends two datagrams at once.
    assert reordered_share(counts) < (1e-6 if kernel in kernels.UML else 0.001)
    # iperf3 computes the same from its own times, when its processes write and read.
    server = json.loads((directory / flow(record_in(directory), "u")["server_json"]).read_text())
    said_ms = [interval["sum"]["jitter_ms"] for interval in server["intervals"]]
    assert np.mean(said_ms) * 1000 == pytest.approx(mean_jitter_us(counts), rel=0.2)
    assert counts["jitter_last_ns"] / 1000 == pytest.approx(server["end"]["sum"]["jitter_ms"] * 1000, rel=0.4)


def test_what_arrives_after_a_later_datagram_is_reordered(run_job: RunJob, each_kernel: str) -> None:
    _, counts = sent_over(run_job, each_kernel, jitter="5ms")
    # A datagram with the delay u is in order if each one sent k spacings later has a delay above u − k spacings.
    delays = np.linspace(0, 10, 100_001)
    in_order = np.prod([1 - np.clip(delays - k * SPACING_MS, 0, None) / 10 for k in range(1, 6)], axis=0)
    expected = 1 - float(np.mean(in_order))
    assert 0.3 < expected < 0.5
    assert reordered_share(counts) == pytest.approx(expected, abs=within(expected, SENT))
    # The same with numbers from a generator, and with the definition of the extent, packet by packet.
    generator = np.random.default_rng(1)
    order = np.argsort(np.arange(100_000) * SPACING_MS + generator.uniform(0, 10, 100_000)).tolist()
    found = list(extents(order))
    assert len(found) / len(order) == pytest.approx(expected, abs=within(expected, len(order)))
    assert counts["extents"] == counts["reordered"]
    assert counts["extent_sum"] / counts["extents"] == pytest.approx(np.mean(found), rel=0.06)
    assert max(found) - 3 <= counts["extent_max"] <= max(found)
    assert counts["left_arrived"] == counts["left"]


@pytest.mark.parametrize(("probability", "overtaken"), [("100%", 1), ("50%", 1), ("50%", 2)])
def test_each_datagram_that_is_sent_at_once_overtakes(
    run_job: RunJob, kernel: str, probability: str, overtaken: int
) -> None:
    # A datagram without delay overtakes those that were sent less than the delay before it.
    delay = f"{overtaken * SPACING_MS + 1:g}ms"
    _, counts = sent_over(run_job, kernel, delay=delay, reorder={"probability": probability, "gap": 5})
    share = float(probability.rstrip("%")) / 100
    at_once = 1 / (5 - 1 + 1 / share)
    # They arrive next, one after the other.
    assert counts["extents"] == counts["reordered"]
    # In a virtual machine, iperf3 may wake up late once and send the next datagram sooner after that.
    assert overtaken <= counts["extent_max"] <= overtaken + (0 if kernel in kernels.UML else 1)
    assert counts["extent_sum"] / counts["extents"] == pytest.approx((overtaken + 1) / 2, rel=0.01)
    tolerance = within(at_once, SENT) if share < 1 else 2 / SENT
    assert reordered_share(counts) == pytest.approx(overtaken * at_once, abs=overtaken * tolerance)


def test_duplicates_are_neither_reordered_nor_jitter(run_job: RunJob, kernel: str) -> None:
    directory, counts = sent_over(run_job, kernel, duplicate="20%")
    arrived = flow(record_in(directory), "u")["accounts"]["sides"]["arrived"]["all"]
    assert arrived["again_packets"] > 0.15 * SENT
    assert counts["reordered"] == 0
    assert mean_jitter_us(counts) < (0.5 if kernel in kernels.UML else 20)
    assert counts["left_arrived"] == counts["left"]


def test_datagrams_with_a_damaged_number_reorder_no_others(run_job: RunJob, kernel: str) -> None:
    _, counts = sent_over(run_job, kernel, corrupt="50%")
    # netem flips a bit of the number in some 35 datagrams.  Most of these numbers have never left, or have arrived.  If
    # one that is too high counted, hundreds of datagrams after it would be late.
    assert counts["reordered"] < 15
    assert 0.9 * SENT < counts["arrived"] < SENT - 100


def test_losses_belong_to_the_window_in_which_datagrams_left(run_job: RunJob, kernel: str) -> None:
    # A full packet every 4 ms; the first leaves at the start, so that numbers 251 to 750 leave from 1 s to 3 s.
    flows = {"u": {"from": "s1", "to": "d1", "protocol": "udp", "rate": "2mbit", "message": "1000B"}}
    loss = {"model": "list", "packets": [100, 248, 252, 400, 500, 748, 752, 900]}
    measure = {"from": "1s", "to": "3s"}
    record = record_in(run_job(job(kernel, flows, {"loss": loss, "delay": "100ms"}, "4s", measure=measure)))
    counts = flow(record, "u")["accounts"]["datagrams"]
    assert counts is not None
    assert abs(counts["left"] - 500) <= 1
    assert counts["left"] - counts["left_arrived"] == 4
    # Numbers 226 to 725 arrive from 1.1 s to 3.1 s less the delay: 248, 252, 400 and 500 are not among them.
    assert abs(counts["arrived"] - (500 - 4)) <= 1
