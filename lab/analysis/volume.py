# SPDX-License-Identifier: Apache-2.0
"""How much of a flow was sent or arrived, and in how much time, as the kernel counted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.job.accounts import AccountTotal
from lab.job.protocol import Flow, FlowResult
from lab.job.windows import declared_window


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
"""If nothing has arrived after this share of a flow's time, the flow waits; before, its data are in a queue."""

SILENT_GAPS = 2
"""If nothing arrives at the end of a flow's time for so many mean gaps between packets, the flow waits."""


Part = Literal["declared", "measured"]
"""The part of a flow's time that is looked at: all of its declared time, or its measured window."""


def arrived(result: FlowResult, asked: Flow, transit_ns: int = 0, part: Part = "declared") -> Volume:
    """Return the payload that arrived at the flow's receiver within a part of the flow's time.

    Its time is that from the first packet that arrived to the last one.  Three kinds of waiting belong to it as well:

    - before the first packet, if nothing arrived for more than :data:`LATE_SHARE` of the part's length although the
      sender had begun to send;
    - at the start of the part, if data had arrived before it and nothing arrives for more than :data:`SILENT_GAPS` mean
      gaps between packets;
    - at the end of the part, if nothing arrives for more than :data:`SILENT_GAPS` mean gaps, unless the flow has an
      amount of data and all that ever arrives has arrived.

    ``transit_ns`` is the delay of the path without queues.
    """
    sides = result["accounts"]["sides"]
    window = asked["measured"] if part == "measured" else declared_window(asked)
    found, sent_ns = sides["arrived"][part], sides["sent"][part]["first_ns"]
    ever = sides["arrived"]["declared"]
    counted = volume(found)
    if found["first_ns"] is None or found["last_ns"] is None or ever["first_ns"] is None:
        return counted
    silence_ns = SILENT_GAPS * (found["last_ns"] - found["first_ns"]) / max(1, found["packets"] - 1)
    if ever["first_ns"] < window["start_ns"]:
        late_ns, allowed_ns = found["first_ns"] - window["start_ns"], silence_ns
    else:
        late_ns = found["first_ns"] - transit_ns - (found["first_ns"] if sent_ns is None else sent_ns)
        allowed_ns = LATE_SHARE * (window["end_ns"] - window["start_ns"])
    first_bytes, waited_ns = counted.first_bytes, 0
    if late_ns > allowed_ns:
        waited_ns, first_bytes = late_ns, 0
    is_over = asked["limit_bytes"] is not None and ever["last_ns"] == found["last_ns"]
    silent_ns = window["end_ns"] - found["last_ns"]
    if not is_over and silent_ns > silence_ns:
        waited_ns += silent_ns
    return Volume(counted.bytes, counted.seconds + waited_ns / 1e9, first_bytes)


def datagrams_lost_share(sent: AccountTotal, arrived: AccountTotal) -> float | None:
    """Return the share of the packets that were sent of which no copy arrived; None if none were sent."""
    if not sent["packets"]:
        return None
    return 1 - (arrived["packets"] - arrived["again_packets"]) / sent["packets"]
