# SPDX-License-Identifier: Apache-2.0
"""Completion times of short flows (RFC 5166, section 2.1.1: per-flow completion times)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.analysis.volume import Volume
from lab.job.protocol import Window


@dataclass(frozen=True)
class Completions:
    """The short flows of one group in one trial, in order of their start.  Each array has one element per flow."""

    began_ns: NDArray[np.int64]
    """Start of each flow, in nanoseconds since the start of traffic."""
    fct_ns: NDArray[np.int64]
    """Time from the request for the connection until the receiver had the last byte, in nanoseconds.

    It is 0 if the receiver never had the last byte.
    """
    bytes: NDArray[np.int64]
    """Number of bytes that the receiver got."""
    retransmissions: NDArray[np.int64]
    """Number of segments that the sender retransmitted."""

    def __len__(self) -> int:
        return len(self.began_ns)

    def started_in(self, window: Window) -> Completions:
        """Return the flows that started within *window*."""
        keep = (self.began_ns >= window["start_ns"]) & (self.began_ns < window["end_ns"])
        return Completions(self.began_ns[keep], self.fct_ns[keep], self.bytes[keep], self.retransmissions[keep])

    @property
    def is_complete(self) -> NDArray[np.bool_]:
        """Whether each flow completed."""
        complete: NDArray[np.bool_] = self.fct_ns > 0
        return complete

    def quantile_us(self, share: float) -> float | None:
        """Return the quantile *share* of the completion times, in microseconds; None if no flow completed.

        Flows that did not complete are left out.
        """
        done = self.fct_ns[self.is_complete]
        return float(np.quantile(done, share, method="inverted_cdf")) / 1000 if len(done) else None

    def received(self) -> Volume:
        """Return the bytes that arrived in all flows, over the time from the first start to the last completion."""
        done = self.is_complete
        if not done.any():
            return Volume(int(self.bytes.sum()), 0.0)
        end_ns = int((self.began_ns[done] + self.fct_ns[done]).max())
        return Volume(int(self.bytes.sum()), (end_ns - int(self.began_ns[0])) / 1e9)
