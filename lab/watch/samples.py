# SPDX-License-Identifier: Apache-2.0
"""Turn the rows that a watched trial sends into points for the page.  No I/O.

Frames come from a guest that may run anybody's code.  Whatever they contain, this module only computes numbers from it,
or raises a ValueError.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.job.network import DirectionName, route
from lab.job.protocol import Job
from lab.job.watched import WATCHED_TICK_NS

POINT_NS = 20_000_000
"""The time between two points of window, RTT and queue, in nanoseconds; the points of goodput are a tick apart."""
MOST_FLOWS = 8
"""The number of flows whose curves are shown; more could not be told apart."""
MOST_QUEUES = 4
MOST_NAMES = 12
"""The number of names of ``lab_trace`` that have a chart, as many as in the report."""
OWN = "own:"
"""What the name of a chart begins with if a congestion control of the user's own records its values; the rest is the
name that ``lab_trace`` was called with."""
CC_TRACE = "cc_trace"
"""The name of the table of these values."""
_KEPT_NS = 15 * 60 * 10**9
"""How much of the past is kept, in nanoseconds; the page keeps as much (curves.js)."""
_FORGOTTEN_AT_A_TIME_NS = 60 * 10**9
_TYPE = re.compile(r"[<|]?(?:[uif][1248]|V[0-9]{1,4})")
_MOST_ROW_BYTES = 4096
_MOST_NAME_BYTES = 16

Limit = Callable[[str, DirectionName, int], float | None]
"""A function that returns the limit of a queue, given by its link and direction, at a time in ns, in packets."""


@dataclass
class Chart:
    """The points of one chart: times in ms, and the values of each series, which are None where there are none."""

    times_ms: list[int] = field(default_factory=list)
    values: list[list[float | None]] = field(default_factory=list)
    forgotten: int = 0
    """How many points there were before the first one that is kept."""

    @property
    def count(self) -> int:
        """How many points there have been so far; the next one has this number."""
        return self.forgotten + len(self.times_ms)

    def taken_from(self, number: int) -> dict[str, Any]:
        """Return the points from the one with this *number* on, as far as they are kept."""
        first = max(0, number - self.forgotten)
        return {"t": self.times_ms[first:], "v": [series[first:] for series in self.values]}

    def forget_before(self, time_ms: int) -> None:
        """Remove the points before a time."""
        count = bisect.bisect_left(self.times_ms, time_ms)
        del self.times_ms[:count]
        for series in self.values:
            del series[:count]
        self.forgotten += count


class Samples:
    """Everything that has been seen of one trial."""

    def __init__(self, job: Job, limit: Limit) -> None:
        flows = job["flows"]
        self.shown = [number for number, flow in enumerate(flows) if flow["arrivals"] is None][:MOST_FLOWS]
        """The numbers of the flows that are shown."""
        self.windows = [number for number in self.shown if flows[number]["protocol"] == "tcp"]
        """The numbers of those that have a congestion window."""
        self.queues = _queues(job)
        """The queues that are shown: link and direction."""
        self.charts = {
            "cwnd": Chart(values=[[] for _ in self.windows]),
            "rtt": Chart(values=[[] for _ in self.windows]),
            "goodput": Chart(values=[[] for _ in self.shown]),
            # The first series is the limit of the first queue.
            "queue": Chart(values=[[] for _ in range(1 + len(self.queues))]),
        }
        self.has_more_names = False
        """Whether algorithms have recorded values under more names than there are charts for."""
        self._begins_ns = [flow["start_ns"] for flow in flows]
        self.lost = [0] * len(flows)
        """The packets of each flow's data that were lost so far."""
        self._limit = limit
        self._layouts: dict[str, np.dtype[np.void]] = {}
        self._names: dict[str, dict[str, dict[str, str]]] = {}
        self._start_ns = 0
        self._ports: list[tuple[int, int]] = []
        self._places: dict[tuple[int, int], int] = {}
        self._kept: dict[str, NDArray[np.void]] = {}
        self._cwnd: list[float | None] = [None] * len(self.windows)
        self._own: dict[str, list[float | None]] = {}
        self._next_ns = 0

    def begin(self, head: Mapping[str, Any]) -> None:
        """Take note of what the rows will mean.

        Raises:
            ValueError: The guest says something that makes no sense.
        """
        try:
            self._start_ns = int(head["start_ns"])
            for name, layout in head["layouts"].items():
                self._layouts[name] = _row_type(layout["row_bytes"], layout["fields"])
                self._names[name] = layout["names"]
            self._ports = [(int(flow["sport"]), int(flow["dport"])) for flow in head["flows"]]
            for place in head["queues"]:
                if (place["link"], place["way"]) in self.queues:
                    number = self.queues.index((place["link"], place["way"]))
                    self._places[int(place["netns"]), int(place["ifindex"])] = number
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"the trial does not say what its rows mean: {error!r}") from error

    def add(self, now_ns: int, parts: Mapping[str, bytes]) -> None:
        """Add the rows up to a tick, and compute the points up to the tick before it.

        What the kernel counts in bins is known only when the next bin has begun, so the last tick has to wait.

        Raises:
            ValueError: The rows are not as they were announced.
        """
        for name, data in parts.items():
            if name not in self._layouts or len(data) % self._layouts[name].itemsize:
                raise ValueError(f"the rows of {name!r} are not as announced")
            rows = np.frombuffer(data, dtype=self._layouts[name])
            known = self._kept.get(name)
            self._kept[name] = rows if known is None else np.concatenate([known, rows])
        until_ns = now_ns - WATCHED_TICK_NS
        if until_ns <= self._next_ns:
            return
        since_ns = max(self._next_ns, until_ns - _KEPT_NS)
        try:
            self._sockets(since_ns, until_ns)
            self._goodputs(since_ns, until_ns)
            self._backlogs(since_ns, until_ns)
            self._losses(until_ns)
            self._own_values(since_ns, until_ns)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the rows lack something: {error!r}") from error
        self._next_ns = until_ns
        self._forget(until_ns)

    def _forget(self, until_ns: int) -> None:
        for chart in self.charts.values():
            # Not at each tick, since what is kept has to be moved.
            if chart.times_ms and chart.times_ms[0] * 10**6 < until_ns - _KEPT_NS - _FORGOTTEN_AT_A_TIME_NS:
                chart.forget_before((until_ns - _KEPT_NS) // 10**6)

    def _take(self, name: str, until_ns: int) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Return the rows of a collector before a time, with their times in ns, and forget them."""
        rows = self._kept.get(name)
        if rows is None:
            return np.zeros(0, dtype=np.dtype([("none", "u1")])), np.zeros(0, dtype=np.int64)
        times = rows["ts_ns"].astype(np.int64) - self._start_ns
        is_due = times < until_ns
        self._kept[name] = rows[~is_due]
        return rows[is_due], times[is_due]

    def _sockets(self, since_ns: int, until_ns: int) -> None:
        rows, times = self._take("tcp_probe", until_ns)
        ticks = range(since_ns // POINT_NS, until_ns // POINT_NS)
        for place, number in enumerate(self.windows):
            rtts: list[float | None] = [None] * len(ticks)
            windows: list[float | None] = [None] * len(ticks)
            if len(rows):
                own = (rows["sport"] == self._ports[number][0]) & (rows["dport"] == self._ports[number][1])
                # The connection is there before the flow begins, so that data can be sent at once.
                own &= times >= self._begins_ns[number]
                for time, cwnd, srtt in zip(
                    times[own].tolist(), rows["snd_cwnd"][own].tolist(), rows["srtt_us"][own].tolist(), strict=True
                ):
                    at = time // POINT_NS - ticks.start
                    if 0 <= at < len(ticks):
                        windows[at], rtts[at] = cwnd, srtt / 1000
            for at, window in enumerate(windows):
                # The window stays as it is while no acknowledgement comes.
                self._cwnd[place] = windows[at] = self._cwnd[place] if window is None else window
            self.charts["cwnd"].values[place] += windows
            self.charts["rtt"].values[place] += rtts
        for name in ("cwnd", "rtt"):
            self.charts[name].times_ms += [(tick + 1) * POINT_NS // 10**6 for tick in ticks]

    def _own_values(self, since_ns: int, until_ns: int) -> None:
        """Add what the algorithms have recorded at the senders of flows.  A value holds until the next one."""
        rows, times = self._take(CC_TRACE, until_ns)
        ticks = range(since_ns // POINT_NS, until_ns // POINT_NS)
        names = _texts(rows["name"]) if len(rows) else np.zeros(0, dtype=np.str_)
        points: dict[str, list[list[float | None]]] = {}
        for place, number in enumerate(self.windows):
            if not len(rows):
                break
            at = times // POINT_NS - ticks.start
            own = (rows["sport"] == self._ports[number][0]) & (rows["dport"] == self._ports[number][1])
            own &= (times >= self._begins_ns[number]) & (at >= 0) & (at < len(ticks))
            values = rows["value"][own].astype(np.float64).tolist()
            for name, tick, value in zip(names[own].tolist(), at[own].tolist(), values, strict=True):
                if name not in self._own and not self._has_chart(name):
                    continue
                if name not in points:
                    points[name] = [[None] * len(ticks) for _ in self.windows]
                points[name][place][tick] = value
        for name, latest in self._own.items():
            chart = self.charts[OWN + name]
            for place in range(len(self.windows)):
                empty: list[float | None] = [None] * len(ticks)
                new = points[name][place] if name in points else empty
                for tick, value in enumerate(new):
                    latest[place] = new[tick] = latest[place] if value is None else value
                chart.values[place] += new
            chart.times_ms += [(tick + 1) * POINT_NS // 10**6 for tick in ticks]

    def _has_chart(self, name: str) -> bool:
        """Make a chart for a name that has not been seen so far; return whether there is one."""
        if len(self._own) >= MOST_NAMES:
            self.has_more_names = True
            return False
        self._own[name] = [None] * len(self.windows)
        self.charts[OWN + name] = Chart(values=[[] for _ in self.windows])
        return True

    def _goodputs(self, since_ns: int, until_ns: int) -> None:
        rows, times = self._take("accounts", until_ns)
        ticks = range(since_ns // WATCHED_TICK_NS, until_ns // WATCHED_TICK_NS)
        total = np.zeros((len(self.shown), len(ticks)))
        if len(rows):
            arrived = _code(self._names["accounts"].get("side", {}), "arrived")
            for place, number in enumerate(self.shown):
                own = (rows["flow"] == number) & (rows["side"] == arrived)
                at = times[own] // WATCHED_TICK_NS - ticks.start
                first = rows["bytes"][own].astype(np.float64) - rows["again_bytes"][own]
                inside = (at >= 0) & (at < len(ticks))
                np.add.at(total[place], at[inside], first[inside])
        mbps = total * 8 / (WATCHED_TICK_NS / 1e9) / 1e6
        for place in range(len(self.shown)):
            self.charts["goodput"].values[place] += [round(value, 3) for value in mbps[place].tolist()]
        self.charts["goodput"].times_ms += [(tick + 1) * WATCHED_TICK_NS // 10**6 for tick in ticks]

    def _backlogs(self, since_ns: int, until_ns: int) -> None:
        rows, times = self._take("backlog", until_ns)
        ticks = range(since_ns // POINT_NS, until_ns // POINT_NS)
        packets = np.zeros((len(self.queues), len(ticks)))
        for row, time in zip(rows, times.tolist(), strict=True):
            queue = self._places.get((int(row["netns"]), int(row["ifindex"])))
            length_ns = int(row["length_ns"])
            if queue is None or not 0 < length_ns < _KEPT_NS:
                continue
            mean = float(row["packet_ns"]) / length_ns
            first, last = time // POINT_NS, (time + length_ns - 1) // POINT_NS
            for tick in range(max(first, ticks.start), min(last + 1, ticks.stop)):
                part = min(time + length_ns, (tick + 1) * POINT_NS) - max(time, tick * POINT_NS)
                packets[queue, tick - ticks.start] += mean * part / POINT_NS
        limits: list[float | None] = []
        for tick in ticks:
            limit = self._limit(*self.queues[0], tick * POINT_NS) if self.queues else None
            limits.append(None if limit is None else round(limit, 2))
        self.charts["queue"].values[0] += limits
        for place in range(len(self.queues)):
            self.charts["queue"].values[1 + place] += [round(value, 2) for value in packets[place].tolist()]
        self.charts["queue"].times_ms += [(tick + 1) * POINT_NS // 10**6 for tick in ticks]

    def _losses(self, until_ns: int) -> None:
        rows, _times = self._take("losses", until_ns)
        if not len(rows):
            return
        forward = _code(self._names["losses"].get("way", {}), "forward")
        for number in range(len(self.lost)):
            own = (rows["flow"] == number) & (rows["way"] == forward)
            self.lost[number] += int(rows["packets"][own].sum())


def _row_type(row_bytes: object, fields: Sequence[Mapping[str, Any]]) -> np.dtype[np.void]:
    """Return the type of a row.

    Raises:
        ValueError: The fields do not fit into a row.
    """
    if type(row_bytes) is not int or not 0 < row_bytes <= _MOST_ROW_BYTES:
        raise ValueError(f"a row has {row_bytes!r} bytes")
    for one in fields:
        if not isinstance(one["type"], str) or not _TYPE.fullmatch(one["type"]) or type(one["offset"]) is not int:
            raise ValueError(f"the field {one['name']!r} has the type {one['type']!r} at {one['offset']!r}")
        if not 0 <= one["offset"] <= row_bytes - np.dtype(one["type"]).itemsize:
            raise ValueError(f"the field {one['name']!r} lies outside of the row")
    return np.dtype(
        {
            "names": [str(one["name"]) for one in fields],
            "formats": [one["type"] for one in fields],
            "offsets": [one["offset"] for one in fields],
            "itemsize": row_bytes,
        }
    )


def _texts(column: NDArray[np.void]) -> NDArray[np.str_]:
    """Return texts in fields of a fixed size that end with a zero byte, with other than printable ASCII replaced.

    Raises:
        ValueError: The fields have another type.
    """
    if column.dtype.kind != "V" or column.dtype.itemsize > _MOST_NAME_BYTES:
        raise ValueError("the names of values are no texts")
    known: dict[bytes, str] = {}
    found = []
    for cell in column.tolist():
        if cell not in known:
            text = cell.partition(b"\0")[0].decode("ascii", errors="replace")
            known[cell] = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
        found.append(known[cell])
    return np.array(found, dtype=np.str_)


def _code(names: Mapping[str, str], wanted: str) -> int:
    return next((int(code) for code, name in names.items() if name == wanted), -1)


def _queues(job: Job) -> list[tuple[str, DirectionName]]:
    """Return the queues that the data of flows pass, those of the slowest links first."""
    rates: dict[tuple[str, DirectionName], int] = {}
    for flow in job["flows"]:
        for hop in route(job, flow["source"], flow["destination"]):
            if hop.direction["rate_bps"] is not None:
                rates[hop.link, hop.direction_name] = hop.direction["rate_bps"]
    return sorted(rates, key=lambda queue: rates[queue])[:MOST_QUEUES]
