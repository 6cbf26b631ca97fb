# SPDX-License-Identifier: Apache-2.0
"""What tcp_probe recorded of each flow's sender over time: window, smoothed RTT, what is in flight, pacing rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lab.analysis.ack_samples import Floats
from lab.evaluation.trial import TCP_PROBE, Curve
from lab.store.trial import TrialResult

UNPACED_BPS = 1e13
"""The kernel stores a pacing rate that is larger than this if it does not pace."""


@lru_cache(maxsize=64)
def traced(trial: TrialResult, flow: str, kind: str) -> Curve:
    """Return the values of the rows of tcp_probe of a flow's sender: all of them, in the order of time.

    *kind* is ``cwnd`` or ``in_flight`` (segments), ``srtt`` (milliseconds) or ``pacing_rate`` (bit/s).  What is in
    flight is what the kernel's tcp_packets_in_flight() returns (include/net/tcp.h); of the pacing rate and the smoothed
    RTT, only the times when there is one are returned.
    """
    columns, read = _READ[kind]
    table = _at_senders(trial)
    table = table.filter(pc.equal(table.column("flow"), flow))
    seconds = table.column("time_ns").to_numpy() / 1e9
    values = read(*(table.column(name).to_numpy().astype(np.float64) for name in columns))
    known = np.isfinite(values)
    return seconds[known], values[known]


@lru_cache(maxsize=2)
def _at_senders(trial: TrialResult) -> pa.Table:
    """Return the rows that the senders of all flows recorded when ACKs arrived and after timeouts."""
    needed = dict.fromkeys(name for columns, _read in _READ.values() for name in columns)
    table = trial.collected(TCP_PROBE, ["time_ns", "flow", "end", "is_transmit", *needed])
    is_used = pc.is_in(table.column("is_transmit"), pa.array(["receive", "timeout"]))
    return table.filter(pc.and_(pc.equal(table.column("end"), "source"), is_used))


def _in_flight(out: Floats, sacked: Floats, lost: Floats, again: Floats) -> Floats:
    return out - sacked - lost + again


def _pacing(rate: Floats) -> Floats:
    bps: Floats = np.where((rate > 0) & (rate * 8 < UNPACED_BPS), rate * 8, np.nan)
    return bps


_READ: Mapping[str, tuple[tuple[str, ...], Callable[..., Floats]]] = {
    "cwnd": (("snd_cwnd",), lambda window: window),
    "srtt": (("srtt_us",), lambda srtt_us: np.where(srtt_us > 0, srtt_us / 1000, np.nan)),
    "in_flight": (("packets_out", "sacked_out", "lost_out", "retrans_out"), _in_flight),
    "pacing_rate": (("pacing_rate",), _pacing),
}
"""Quantity → the columns of tcp_probe that it needs, and how to compute it from them."""
