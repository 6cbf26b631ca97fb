# SPDX-License-Identifier: Apache-2.0
"""Read the values that are used from the output of ``iperf3 --json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Volume:
    """What one end of a flow transferred over the whole test, and in how many seconds."""

    bytes: int
    seconds: float

    @property
    def bps(self) -> float:
        """Mean rate, in bit/s; 0 if no time passed."""
        return self.bytes * 8 / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class SenderStatistics:
    """What the sending end reports about its socket over the whole test; None for a value that it does not report."""

    retransmits: int | None
    """Number of retransmitted segments."""
    mean_rtt_us: float | None
    """Mean of the smoothed RTTs at the ends of the intervals, in microseconds."""
    min_rtt_us: float | None
    """Smallest of these smoothed RTTs, in microseconds."""
    max_rtt_us: float | None
    """Largest of these smoothed RTTs, in microseconds."""


@dataclass(frozen=True)
class Interval:
    """One reporting interval; its times are seconds since the start of the test."""

    start_s: float
    end_s: float
    bytes: int
    rtt_us: float | None
    """Smoothed RTT at the end of the interval, in microseconds; None at the receiver."""


def received(server: dict[str, Any]) -> Volume:
    """Return what the *receiver* got: the bytes that it read and its own time.

    Raises:
        ValueError: The server's output contains no total.
    """
    return _volume(server, "sum_received", "server")


def sent(client: dict[str, Any]) -> Volume:
    """Return what the *sender* wrote into its socket.  It includes data that never arrived.

    Raises:
        ValueError: The client's output contains no total.
    """
    return _volume(client, "sum_sent", "client")


def sender_statistics(client: dict[str, Any]) -> SenderStatistics:
    """Return what the client's output says about its socket."""
    end = client.get("end", {})
    streams = [stream.get("sender", {}) for stream in end.get("streams", [])]
    stream = streams[0] if streams else {}
    return SenderStatistics(
        retransmits=end.get("sum_sent", {}).get("retransmits"),
        mean_rtt_us=stream.get("mean_rtt"),
        min_rtt_us=stream.get("min_rtt"),
        max_rtt_us=stream.get("max_rtt"),
    )


def datagrams_lost_share(server: dict[str, Any]) -> float | None:
    """Return the share of a UDP flow's packets that did not reach the *receiver*; None if its output does not say."""
    total = server.get("end", {}).get("sum_received") or server.get("end", {}).get("sum", {})
    packets, lost = total.get("packets"), total.get("lost_packets")
    return lost / packets if packets and lost is not None else None


def intervals(document: dict[str, Any]) -> list[Interval]:
    """Return the intervals that one end reported.  Intervals that iperf3 omits (``--omit``) are left out."""
    found = []
    for interval in document.get("intervals", []):
        total, streams = interval.get("sum", {}), interval.get("streams", [])
        if total.get("omitted"):
            continue
        rtt = streams[0].get("rtt") if streams else None
        found.append(Interval(total.get("start", 0.0), total.get("end", 0.0), total.get("bytes", 0), rtt))
    return found


def asked_interval_seconds(document: dict[str, Any]) -> float | None:
    """Return the length of a reporting interval, in seconds.

    If the output does not state it, this is the length of the first interval; None if there is no interval.
    """
    said = document.get("start", {}).get("test_start", {}).get("interval")
    if isinstance(said, int | float) and said > 0:
        return float(said)
    first = next(iter(intervals(document)), None)
    return round(first.end_s - first.start_s, 1) or None if first else None


def block_bytes(document: dict[str, Any]) -> int:
    """Return the size of the blocks that both ends read, write and count, in bytes.

    If the output does not state it, this is iperf3's default for TCP, 128 KiB.
    """
    said = document.get("start", {}).get("test_start", {}).get("blksize")
    return int(said) if isinstance(said, int) and said > 0 else 131072


def error(document: dict[str, Any]) -> str | None:
    """Return the error that iperf3 reported, if any."""
    return document.get("error")


def _volume(document: dict[str, Any], key: str, end: str) -> Volume:
    total = document.get("end", {}).get(key)
    if not isinstance(total, dict) or "bytes" not in total or "seconds" not in total:
        reason = document.get("error") or f"end.{key} is missing"
        raise ValueError(f"the output of iperf3's {end} contains no result: {reason}")
    return Volume(int(total["bytes"]), float(total["seconds"]))
