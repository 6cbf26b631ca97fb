# SPDX-License-Identifier: Apache-2.0
"""Why a sender reduced its congestion window: which drops or ECN marks came before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab.analysis.ack_samples import AckSamples, reductions

UNKNOWN = "unknown"
"""No drop and no mark of the flow came before the reduction."""
MARK = "ecn_mark"
"""The cause of a reduction after packets that arrived with the mark Congestion Experienced (RFC 3168)."""

_ROUND_TRIPS = 3
"""How far back the cause of a reduction is looked for first, in smoothed RTTs.

A sender learns of a loss from acknowledgements of later packets, so about one RTT after the drop.
"""


@dataclass(frozen=True)
class Trouble:
    """Packets of one flow that were dropped, or that arrived with a mark, in one bin of time."""

    since_ns: int
    """Start of the bin, in nanoseconds since the start of traffic."""
    cause: str
    """Cause of the drop, one of :data:`lab.job.drop_causes.CAUSES`, or :data:`MARK`."""
    packets: int


def reduction_causes(samples: AckSamples, troubles: Sequence[Trouble], bin_ns: int) -> Counter[str]:
    """Return how many of the sender's reductions (:func:`lab.analysis.ack_samples.reductions`) have which cause.

    The cause is that of most packets which were dropped or marked between the reduction before and this one, of the
    last few round trips if there are any.  Bins are *bin_ns* wide; one that begins before a reduction and ends after it
    counts for both.  The result is meaningless for BBR, as that of ``reductions`` is.
    """
    found: Counter[str] = Counter()
    ordered = sorted(troubles, key=lambda trouble: trouble.since_ns)
    starts = np.array([trouble.since_ns for trouble in ordered], dtype=np.int64)
    before_ns = -1
    for row in reductions(samples):
        at_ns, rtt_ns = int(samples.time_ns[row]), int(samples.srtt_us[row]) * 1000
        for since_ns in (max(before_ns, at_ns - _ROUND_TRIPS * rtt_ns), before_ns):
            first, last = np.searchsorted(starts, [since_ns - bin_ns, at_ns], "right")
            packets: Counter[str] = Counter()
            for trouble in ordered[first:last]:
                packets[trouble.cause] += trouble.packets
            if packets:
                break
        found[packets.most_common(1)[0][0] if packets else UNKNOWN] += 1
        before_ns = at_ns
    return found
