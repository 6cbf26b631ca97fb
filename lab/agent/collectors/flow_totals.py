# SPDX-License-Identifier: Apache-2.0
"""Read the totals of the collector ``flow``, and make room in the kernel for those of new connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.agent.collectors.loader import Programs

FlowKey = tuple[bytes, bytes, bytes, int, int, int, int, int]
"""The fields of ``struct flow_key``: saddr, daddr, comm, pid, netns, sport, dport, family."""

_TABLE = "flow_totals"
_CROWDED = 8192
"""With more totals than this, half of what ``flow_totals`` of bpf/flow.bpf.c can hold, those at rest are taken out."""
_REMEMBERED = 1 << 16
"""How many of the totals that were taken out are remembered.  If a connection carries bytes again after that, its total
begins anew."""


@dataclass(frozen=True)
class _Total:
    sent: int = 0
    received: int = 0

    def plus(self, leaf: Any) -> _Total:
        return _Total(self.sent + int(leaf.tx_bytes), self.received + int(leaf.rx_bytes))


_NOTHING = _Total()


class FlowTotals:
    """Finds the changes in the kernel's byte totals since they were last read."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.forget()

    def forget(self) -> None:
        """Forget the totals read so far, as after the kernel's totals have been cleared."""
        self._known: dict[FlowKey, _Total] = {}
        self._taken_out: dict[FlowKey, _Total] = {}
        self._late: list[FlowKey] = []

    def changes(self) -> list[tuple[FlowKey, int, int, int, int]]:
        """Read the totals and return those that have changed since the last reading, in the order of their keys.

        Each is given as (key, bytes sent and bytes received since then, bytes sent and bytes received in total).
        """
        now = {name: self._taken_out[name] for name in self._late if name in self._taken_out}
        keys = {}
        for key, leaf in self._programs.table(_TABLE).items():
            name = _identity(key)
            keys[name] = key
            now[name] = self._taken_out.get(name, _NOTHING).plus(leaf)
        changed = []
        at_rest = []
        for name, total in sorted(now.items(), key=lambda item: item[0]):
            before = self._known.get(name, self._taken_out.get(name, _NOTHING))
            if total == before:
                at_rest.append(name)
            else:
                more = total.sent - before.sent, total.received - before.received
                changed.append((name, *more, total.sent, total.received))
        self._known = now
        self._late = []
        if len(keys) > _CROWDED:
            for name in at_rest:
                if name in keys:
                    self._take_out(name, keys[name])
        return changed

    def _take_out(self, name: FlowKey, key: Any) -> None:
        leaf = self._programs.take(_TABLE, key)
        if leaf is None:
            return
        # Taken out and put in again, a total is the last one of all.
        self._taken_out[name] = self._taken_out.pop(name, _NOTHING).plus(leaf)
        if self._taken_out[name] == self._known[name]:
            del self._known[name]
        else:  # Bytes have been added since the totals were read.
            self._late.append(name)
        if len(self._taken_out) > _REMEMBERED:
            del self._taken_out[next(iter(self._taken_out))]


def _identity(key: Any) -> FlowKey:
    ends = bytes(key.saddr), bytes(key.daddr), bytes(key.comm)
    return (*ends, key.pid, key.netns, key.sport, key.dport, key.family)
