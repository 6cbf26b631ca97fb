# SPDX-License-Identifier: Apache-2.0
"""How much of a flow was sent or arrived, and in how much time, as the kernel counted it."""

from __future__ import annotations

from dataclasses import dataclass

from lab.job.protocol import AccountTotal, Flow, FlowResult


@dataclass(frozen=True)
class Volume:
    """An amount of payload, and the time from its first to its last packet."""

    bytes: int
    """Payload, in bytes; further copies of packets are left out."""
    seconds: float
    """The time from the first packet to the last one."""
    first_bytes: int = 0
    """Payload of the first packet, which came before any of this time had passed."""

    @property
    def bps(self) -> float:
        """Mean rate, in bit/s; 0 if no time passed.

        N packets have N − 1 gaps between them.  The first packet is therefore not counted; otherwise the rate of few
        packets would be too high.
        """
        return (self.bytes - self.first_bytes) * 8 / self.seconds if self.seconds > 0 else 0.0


def volume(total: AccountTotal) -> Volume:
    """Return the payload that was counted, without further copies."""
    first_ns, last_ns = total["first_ns"], total["last_ns"]
    seconds = (last_ns - first_ns) / 1e9 if first_ns is not None and last_ns is not None else 0.0
    return Volume(total["bytes"] - total["again_bytes"], seconds, total["first_bytes"])


LATE_SHARE = 0.1
"""If nothing has arrived after this share of a flow's duration, the flow waits; before, its data are in a queue."""

SILENT_GAPS = 2
"""If nothing arrives at the end of a flow's time for so many mean gaps between packets, the flow waits."""


def arrived(result: FlowResult, asked: Flow, transit_ns: int = 0) -> Volume:
    """Return the payload that arrived at the flow's receiver within the flow's declared time.

    Its time is that from the first packet that arrived to the last one.  If nothing arrived for more than
    :data:`LATE_SHARE` of the declared duration although the sender had begun to send, or for more than
    :data:`SILENT_GAPS` mean gaps before the declared end, this time belongs to the flow as well: it waited.
    ``transit_ns`` is the delay of the path without queues.
    """
    sides = result["accounts"]["sides"]
    found, sent_ns = sides["arrived"]["declared"], sides["sent"]["declared"]["first_ns"]
    counted = volume(found)
    if found["first_ns"] is None or found["last_ns"] is None or sent_ns is None:
        return counted
    first_bytes, waited_ns = counted.first_bytes, 0
    if (late_ns := found["first_ns"] - sent_ns - transit_ns) > LATE_SHARE * asked["duration_ns"]:
        waited_ns, first_bytes = late_ns, 0
    silent_ns = asked["start_ns"] + asked["duration_ns"] - found["last_ns"]
    mean_gap_ns = (found["last_ns"] - found["first_ns"]) / max(1, found["packets"] - 1)
    if asked["limit_bytes"] is None and silent_ns > SILENT_GAPS * mean_gap_ns:
        waited_ns += silent_ns
    return Volume(counted.bytes, counted.seconds + waited_ns / 1e9, first_bytes)


def datagrams_lost_share(sent: AccountTotal, arrived: AccountTotal) -> float | None:
    """Return the share of the packets that were sent of which no copy arrived; None if none were sent."""
    if not sent["packets"]:
        return None
    return 1 - (arrived["packets"] - arrived["again_packets"]) / sent["packets"]
