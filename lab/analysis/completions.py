# SPDX-License-Identifier: Apache-2.0
"""Short flows: how long each took to complete (RFC 5166, section 2.1.1: per-flow completion times)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.analysis.iperf import Transfer


@dataclass(frozen=True)
class Completions:
    """The short flows of one group in one trial, in order of their beginning; one element each."""

    began_ns: NDArray[np.int64]
    """From the start of traffic."""
    fct_ns: NDArray[np.int64]
    """From asking for the connection until the receiver had the last byte; 0: it never had."""
    bytes: NDArray[np.int64]
    """What arrived."""
    retransmissions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.began_ns)

    @property
    def is_complete(self) -> NDArray[np.bool_]:
        complete: NDArray[np.bool_] = self.fct_ns > 0
        return complete

    def quantile_us(self, share: float) -> float | None:
        """Return the time in µs within which this share of those that completed did; None where none did."""
        done = self.fct_ns[self.is_complete]
        return float(np.quantile(done, share, method="inverted_cdf")) / 1000 if len(done) else None

    def received(self) -> Transfer:
        """Return all that arrived, over the time from the first beginning to the last completion."""
        done = self.is_complete
        if not done.any():
            return Transfer(int(self.bytes.sum()), 0.0)
        end_ns = int((self.began_ns[done] + self.fct_ns[done]).max())
        return Transfer(int(self.bytes.sum()), (end_ns - int(self.began_ns[0])) / 1e9)
