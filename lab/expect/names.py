# SPDX-License-Identifier: Apache-2.0
"""What names in expectations stand for: columns of ``metrics.parquet``, quantities over time, samples and events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lab.expect.quantities import DURATION, NUMBER, RATE, SIZE, Dimension

__all__ = [
    "ALIASES",
    "ALL",
    "COLUMNS",
    "EVENTS",
    "PROPERTIES",
    "SAMPLES",
    "SERIES",
    "STATES",
    "STATISTICS",
    "Column",
    "Declared",
    "Event",
    "Kind",
    "Samples",
    "Series",
    "States",
    "all_names",
    "quantile_of",
]

Kind = Literal["tcp", "udp", "short_flows", "probe"]
"""What a flow is: a TCP connection, a UDP flow, a group of short flows, or a latency probe."""

ALL: frozenset[Kind] = frozenset({"tcp", "udp", "short_flows", "probe"})
_FLOWS: frozenset[Kind] = frozenset({"tcp", "udp", "short_flows"})
_TCP: frozenset[Kind] = frozenset({"tcp"})
_UDP: frozenset[Kind] = frozenset({"udp"})
_SHORT: frozenset[Kind] = frozenset({"short_flows"})
_PROBE: frozenset[Kind] = frozenset({"probe"})
_LONG: frozenset[Kind] = frozenset({"tcp", "udp"})

STATISTICS = ("mean", "median", "min", "max", "p1", "p5", "p10", "p25", "p75", "p90", "p95", "p99")
"""The usual statistics; ``pN`` may have any N from 1 to 99."""


def quantile_of(statistic: str) -> float | None:
    """Return the quantile that a statistic is, such as 0.95 for ``p95``; None if it is none."""
    if statistic == "median":
        return 0.5
    found = re.fullmatch(r"p([1-9][0-9]?(?:\.[0-9]+)?)", statistic)
    return float(found[1]) / 100 if found else None


@dataclass(frozen=True)
class Column:
    """A column of ``metrics.parquet``: one number for a flow in a trial."""

    name: str
    dimension: Dimension
    scale: float
    """By what the number in the column is multiplied to be in bits and seconds."""
    kinds: frozenset[Kind]
    """The kinds of flows that have it."""


@dataclass(frozen=True)
class Series:
    """A quantity that changes while traffic runs."""

    name: str
    dimension: Dimension
    kinds: frozenset[Kind]
    meaning: str
    algorithms: frozenset[str] | None = None
    """The congestion control algorithms that have it; None: all of them."""


@dataclass(frozen=True)
class States:
    """What is always in one of several states."""

    name: str
    kinds: frozenset[Kind]
    names: tuple[str, ...]
    meaning: str
    algorithms: frozenset[str] | None = None


@dataclass(frozen=True)
class Samples:
    """What each short flow, request or window reduction has one value of."""

    name: str
    dimension: Dimension
    kinds: frozenset[Kind]
    meaning: str


@dataclass(frozen=True)
class Event:
    """What happens at a moment, and can be counted."""

    name: str
    kinds: frozenset[Kind]
    meaning: str
    collector: str | None = None
    """The collector that must run for it; None if every trial records it."""


@dataclass(frozen=True)
class Declared:
    """A property of a link or path as the experiment declares it."""

    name: str
    dimension: Dimension
    meaning: str


_SUFFIXES = (
    # The first that fits counts.
    ("_bps_per_s", Dimension(1, -2), 1.0),
    ("_bps", RATE, 1.0),
    ("_us", DURATION, 1e-6),
    ("_s", DURATION, 1.0),
    ("_bytes", SIZE, 8.0),
    ("_segments", NUMBER, 1.0),
)
"""End of a column's name → dimension, and the scale to bits and seconds."""

_COLUMNS: tuple[tuple[frozenset[Kind], str], ...] = (
    (ALL, "start_s duration_s measured_from_s measured_to_s"),
    (
        _FLOWS,
        "goodput_bps goodput_interval_s goodput_bytes sender_bps share_of_link ceiling utilisation bottleneck_bps "
        "declared_loss declared_rtt_us queue_bytes dropped_packets bottleneck_loss_share marked_packets base_rtt_us "
        "queueing_delay_mean_us queueing_delay_median_us queueing_delay_p95_us queueing_delay_p99_us group_share "
        "harm_goodput cpu_busy_share rate_rise_recovery_s",
    ),
    (_LONG, "goodput_cv"),
    (_TCP | _SHORT, "retransmits"),
    (
        _TCP,
        "acked_bps power_bps_per_s retransmitted_share window_reductions min_rtt_us srtt_mean_us srtt_median_us "
        "srtt_p95_us srtt_p99_us srtt_max_us srtt_inflation_mean_us srtt_inflation_p95_us cwnd_mean_segments busy_s "
        "rwnd_limited_share sndbuf_limited_share cwnd_limited_share slow_start_s slow_start_peak_segments "
        "slow_start_overshoot state_open_share state_disorder_share state_cwr_share state_recovery_share "
        "state_loss_share recoveries recovery_mean_s jain_index jain_index_over_time convergence_s harm_rtt",
    ),
    (_SHORT, "fct_median_us fct_p95_us fct_mean_us slowdown_mean slowdown_median slowdown_p95 unfinished_share"),
    (
        _UDP,
        "datagrams_lost_share jitter_mean_us jitter_last_us reordered_share reordering_extent_mean "
        "reordering_extent_max",
    ),
    (
        _PROBE,
        "requests unanswered_share latency_min_us latency_mean_us latency_median_us latency_p95_us latency_p99_us "
        "latency_max_us",
    ),
)


def _column(name: str, kinds: frozenset[Kind]) -> Column:
    for suffix, dimension, scale in _SUFFIXES:
        if name.endswith(suffix):
            return Column(name, dimension, scale, kinds)
    return Column(name, NUMBER, 1.0, kinds)


COLUMNS: Mapping[str, Column] = {name: _column(name, kinds) for kinds, names in _COLUMNS for name in names.split()}
"""All columns of ``metrics.parquet`` that are numbers and belong to a flow."""


def _without_units() -> dict[str, str]:
    """Return the names of columns without their unit → the column; a rate comes before a size of the same name."""
    found: dict[str, str] = {}
    for name in COLUMNS:
        for suffix, _dimension, _scale in _SUFFIXES:
            if name.endswith(suffix):
                found.setdefault(name.removesuffix(suffix), name)
                break
    return {short: name for short, name in found.items() if short not in COLUMNS and short not in _TOO_SHORT}


_TOO_SHORT = frozenset({"queue", "start", "duration"})
"""What a reader would take for something else: queue_bytes is the limit of a queue."""


ALIASES: Mapping[str, str] = {
    **_without_units(),
    # The names of figures (MetricName), where they are not those of columns.
    "queueing_delay": "queueing_delay_mean_us",
    "srtt": "srtt_mean_us",
    "retransmitted": "retransmitted_share",
    "dropped": "dropped_packets",
    "marked": "marked_packets",
    "reductions": "window_reductions",
    "cwnd": "cwnd_mean_segments",
    "jain": "jain_index",
    "fct": "fct_median_us",
    "datagrams_lost": "datagrams_lost_share",
    "jitter": "jitter_mean_us",
    # What everybody says.
    "drops": "dropped_packets",
    "rtt": "srtt_mean_us",
    "share": "group_share",
}
"""Other names of columns: without the unit, those that figures have, and a few that everybody uses."""

OF_TRACE = (
    "acked", "power", "window_reductions", "srtt", "cwnd_mean", "slow_start", "state_", "recover",
)  # fmt: skip
"""How the columns begin that come from the collector ``tcp_probe``."""

_BBR = frozenset({"bbr"})

SERIES: Mapping[str, Series] = {
    one.name: one
    for one in (
        Series("cwnd", NUMBER, _TCP, "congestion window, in segments"),
        Series("ssthresh", NUMBER, _TCP, "slow-start threshold, in segments, while it is finite"),
        Series("srtt", DURATION, _TCP, "smoothed RTT"),
        Series("in_flight", NUMBER, _TCP, "segments in flight"),
        Series("pacing_rate", RATE, _TCP, "pacing rate"),
        Series("delivery_rate", RATE, _TCP, "delivery rate"),
        Series("bandwidth", RATE, _TCP, "BBR's estimate of the bottleneck's bandwidth", _BBR),
        Series("gain", NUMBER, _TCP, "BBR's pacing gain", _BBR),
        Series("window_max", NUMBER, _TCP, "CUBIC's W_max, in segments", frozenset({"cubic"})),
        Series("alpha", NUMBER, _TCP, "DCTCP's alpha, the fraction of marked data", frozenset({"dctcp"})),
        Series("goodput", RATE, _LONG, "payload that arrives, in windows of 1 s, every 100 ms"),
        Series("queue", NUMBER, _FLOWS, "packets in the queue of the flow's bottleneck"),
        Series("queueing_delay", DURATION, _FLOWS, "time that packets wait in the queues on the path of the data"),
    )
}
"""Quantities over time."""

STATES: Mapping[str, States] = {
    one.name: one
    for one in (
        States("mode", _TCP, ("Startup", "Drain", "ProbeBW", "ProbeRTT"), "BBR's mode", _BBR),
        States("state", _TCP, ("Open", "Disorder", "CWR", "Recovery", "Loss"), "state of the kernel's loss recovery"),
    )
}
"""Quantities over time that are names."""

SAMPLES: Mapping[str, Samples] = {
    one.name: one
    for one in (
        Samples("fct", DURATION, _SHORT, "completion times of short flows"),
        Samples("latency", DURATION, _PROBE, "round-trip times of a probe's requests"),
        Samples(
            "decrease_factor",
            NUMBER,
            _TCP,
            "ssthresh after a window reduction, divided by the congestion window before it (β in RFC 9438)",
        ),
    )
}
"""Samples, of which statistics can be taken."""

EVENTS: Mapping[str, Event] = {
    one.name: one
    for one in (
        Event("retransmit", _TCP, "segments that left the sender again"),
        Event("drop", _FLOWS, "packets with the flow's data that were dropped on their way"),
        Event("mark", _LONG, "packets that arrived with the mark Congestion Experienced"),
        Event("reduction", _TCP, "reductions of the congestion window"),
        Event("timeout", _TCP, "segments that were sent again after a retransmission timeout"),
    )
}
"""What ``count``, ``first`` and ``last`` take."""

PROPERTIES: Mapping[str, Declared] = {
    one.name: one
    for one in (
        Declared("link.rate", RATE, "rate of the flow's bottleneck, the mean over the measured window"),
        Declared("link.delay", DURATION, "delay of the bottleneck, one way"),
        Declared("link.loss", NUMBER, "probability that the bottleneck loses a packet at random"),
        Declared("link.queue", SIZE, "limit of the bottleneck's queue"),
        Declared("path.rtt", DURATION, "sum of the delays of the path, both ways"),
        Declared("path.delay", DURATION, "sum of the delays of the path of the data, one way"),
        Declared("path.loss", NUMBER, "probability that the path of the data loses a packet at random"),
        Declared("bdp", SIZE, "bandwidth-delay product: link.rate * path.rtt"),
        Declared("mss", SIZE, "payload of a full segment"),
        Declared("packet", SIZE, "a full packet with its Ethernet header, as tc counts it"),
    )
}
"""What the experiment declares, at the start of the flow."""

FUNCTIONS = (*STATISTICS, "count", "first", "last")
"""Words that may stand in front of a name in parentheses."""


def all_names() -> Iterable[str]:
    """Return every name that may stand alone or in a function, the short ones first."""
    return dict.fromkeys((*ALIASES, *COLUMNS, *SERIES, *STATES, *SAMPLES, *PROPERTIES, *EVENTS))
