# SPDX-License-Identifier: Apache-2.0
"""What a report should say, worked out of the captured raw records in plain loops."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.units import value_text
from tests.data.raw import RawTrial, Row, kept, mean, quantile, rank, weighted

Raw = Mapping[str, RawTrial]

T95 = {2: 12.706204736, 3: 4.302652730}
"""Student's t for 95 % by the number of values, from a printed table."""

NOBODY = "–"


class Planned:
    """A run's plan, as its file has it."""

    def __init__(self, run: Path) -> None:
        document = json.loads((run / "plan.json").read_text())
        self.axes: list[dict[str, Any]] = document["axes"]
        self.cells = {cell["id"]: cell["values"] for cell in document["cells"]}
        self.trials: dict[str, dict[str, Any]] = {trial["id"]: trial for trial in document["trials"]}

    def cell(self, trial_id: str) -> tuple[str, ...]:
        """The values of a trial's cell on all axes, as text."""
        values = self.cells[self.trials[trial_id]["cell"]]
        return tuple(value_text(values[axis["path"]]) for axis in self.axes)

    def facet(self, trial_id: str, without: Sequence[str]) -> tuple[str, ...]:
        """Those on all axes but some."""
        values = self.cells[self.trials[trial_id]["cell"]]
        return tuple(value_text(values[axis["path"]]) for axis in self.axes if axis["path"] not in without)


def verdict(run: Path, trial_id: str) -> str:
    """The worst of a trial's stored checks."""
    checks = json.loads((run / "trials" / trial_id / "validity.json").read_text())["checks"]
    found = {check["verdict"] for check in checks}
    return next(one for one in ("invalid", "warn", "ok") if one in found)


def traced(trial: RawTrial, flow: str) -> bool:
    asked = next(one for one in trial.job["flows"] if one["name"] == flow)
    return "tcp_probe" in trial.record["collectors"] and asked["protocol"] == "tcp" and not asked["arrivals"]


@kept
def measures(trial: RawTrial, flow: str) -> dict[str, float | None]:
    """The columns of the results table, of one flow."""
    asked = next(one for one in trial.job["flows"] if one["name"] == flow)
    goodput = trial.goodput_bps(flow)
    found: dict[str, float | None] = dict.fromkeys(
        ("srtt_mean_ms", "srtt_p95_ms", "queueing_mean_ms", "queueing_p95_ms", "fct_median_ms", "fct_p95_ms")
    )
    found |= {"goodput_mbps": None, "retransmits": None, "datagrams_lost": None, "jain_index": None}
    found |= {"jitter_mean_us": None, "reordered": None}
    if goodput is None:
        return found
    found["goodput_mbps"] = goodput / 1e6
    if (waits := trial.waits_ms(flow)) is not None:
        found["queueing_mean_ms"], found["queueing_p95_ms"] = waits
    if asked["arrivals"]:
        own = trial.short(flow)
        times = [row["fct_ns"] / 1e6 for row in own if row["fct_ns"]]
        found |= {"fct_median_ms": rank(times, 0.5), "fct_p95_ms": rank(times, 0.95)}
        found["retransmits"] = sum(row["retransmissions"] for row in own)
        return found
    if asked["protocol"] == "udp":
        of_it = trial.datagrams(flow)
        found["jitter_mean_us"] = of_it["jitter_sum_ns"] / of_it["arrived"] / 1e3
        found["reordered"] = 100 * of_it["reordered"] / of_it["arrived"]
        return found | {"datagrams_lost": 100 * trial.lost_share(flow)}
    found["retransmits"] = trial.retransmits(flow)
    if traced(trial, flow):
        srtt = weighted(trial.measured_rows(flow), "srtt_us")
        found |= {"srtt_mean_ms": mean(srtt) / 1e3, "srtt_p95_ms": quantile(srtt, 0.95) / 1e3}
    long = [one["name"] for one in trial.job["flows"] if one["protocol"] == "tcp" and not one["arrivals"]]
    sharing = [one for one in long if trial.bottleneck(one) == trial.bottleneck(flow)]
    if len(sharing) > 1:
        rates = [rate for one in sharing if (rate := trial.goodput_bps(one)) is not None]
        found["jain_index"] = sum(rates) ** 2 / len(rates) / sum(rate**2 for rate in rates)
    return found


def summary(values: Sequence[float], largest: float | None = None, *, equal: bool = False) -> dict[str, float | None]:
    """Mean, standard deviation, half of the confidence interval, least and most, the interval itself, and the median.

    The interval is cut at 0 and at *largest*.  Values of *equal* repetitions have none, nor have equal values.
    """
    if not values:
        return dict.fromkeys(("mean", "sd", "ci95", "low", "high", "ci95_low", "ci95_high", "median"))
    mean, low, high = statistics.fmean(values), min(values), max(values)
    sd = statistics.stdev(values) if len(values) > 1 else None
    half = T95[len(values)] * sd / math.sqrt(len(values)) if sd and low < high and not equal else None
    return {
        "mean": mean,
        "sd": sd,
        "ci95": half,
        "low": low,
        "high": high,
        "ci95_low": None if half is None else max(mean - half, 0.0),
        "ci95_high": None if half is None else min(mean + half, max(high, math.inf if largest is None else largest)),
        "median": statistics.median(values),
    }


UNITS = {"crowd": ("kbit/s", 1000)}
"""Experiment → the unit in which its goodput is shown, and how many of it are a Mbit/s; Mbit/s elsewhere."""


def unit(name: str) -> tuple[str, int]:
    return UNITS.get(name, ("Mbit/s", 1))


class Line:
    """A line of the results table: a group of flows and its algorithm in the trials of a cell."""

    def __init__(self, run: Path, raw: Raw, trials: Sequence[str], group: str, algorithm: str) -> None:
        judged = {trial_id: verdict(run, trial_id) for trial_id in trials}
        valid = [trial_id for trial_id in trials if judged[trial_id] != "invalid"]
        self.used = valid or list(trials)
        self.left_out = len(trials) - len(self.used)
        self.verdict = max((judged[one] for one in self.used), key=["ok", "warn", "invalid"].index)
        self.group, self.algorithm = group, algorithm
        self._raw, self._run = raw, run

    @property
    def are_equal(self) -> bool:
        """Whether the raw records of all repetitions are the same."""
        digests = {
            json.loads((self._run / "trials" / one / "trial.json").read_text())["record_digest"] for one in self.used
        }
        return len(self.used) > 1 and len(digests) == 1

    def flows(self, trial_id: str) -> list[str]:
        record = self._raw[trial_id].record
        algorithms = {flow["name"]: flow["congestion_control"] for flow in record["flows"]}
        flows = self._raw[trial_id].job["flows"]
        return [one["name"] for one in flows if (one["group"], algorithms[one["name"]]) == (self.group, self.algorithm)]

    def values(self, key: str, share_of: float | None = None) -> list[float]:
        """One value for each trial: the mean over the flows of the group."""
        found = []
        for trial_id in self.used:
            each = [measures(self._raw[trial_id], flow)[key] for flow in self.flows(trial_id)]
            known = [one for one in each if one is not None]
            if known:
                found.append(statistics.fmean(known))
        return found if share_of is None else [100 * value * 1e6 / share_of for value in found]

    def median(self) -> str:
        """The id of the trial with the (lower) median goodput."""
        rates = self.values("goodput_mbps")
        order = sorted(range(len(rates)), key=rates.__getitem__)
        return self.used[order[(len(order) - 1) // 2]]


def result_lines(run: Path, raw: Raw) -> dict[tuple[tuple[str, ...], str, str, str], Line]:
    """(values of the axes but those of the algorithm and the kernel, group, algorithm, kernel) → the line."""
    plan = Planned(run)
    trials: dict[tuple[tuple[str, ...], str, str, str], list[str]] = defaultdict(list)
    paths = [axis["path"] for axis in plan.axes]
    ok = [trial_id for trial_id in plan.trials if raw[trial_id].record["status"] == "ok"]
    of_all = [
        path
        for path in paths
        if all(
            {flow["congestion_control"] for flow in plan.trials[one]["job"]["flows"]}
            == {plan.cells[plan.trials[one]["cell"]][path]}
            for one in plan.trials
            if isinstance(plan.cells[plan.trials[one]["cell"]][path], str)
        )
        and all(isinstance(values[path], str) for values in plan.cells.values())
    ]
    for trial_id in ok:
        facet = plan.facet(trial_id, [*of_all, "kernel"])
        kernel = str(plan.cells[plan.trials[trial_id]["cell"]].get("kernel", ""))
        flows = {flow["name"]: flow["congestion_control"] for flow in raw[trial_id].record["flows"]}
        for group, algorithm in {(one["group"], flows[one["name"]]) for one in raw[trial_id].job["flows"]}:
            trials[facet, group, algorithm, kernel].append(trial_id)
    return {key: Line(run, raw, ids, key[1], key[2]) for key, ids in trials.items()}


# --- collectors ----------------------------------------------------------------------------------------------


def by_cell(run: Path, raw: Raw, collector: str) -> Iterator[tuple[tuple[str, ...], list[RawTrial]]]:
    """Yield each cell's trials that have a collector, in the plan's order."""
    plan, found = Planned(run), defaultdict(list)
    for trial_id in plan.trials:
        if collector in raw[trial_id].record.get("collectors", {}):
            found[plan.cell(trial_id)].append(raw[trial_id])
    yield from found.items()


def times(rows: Sequence[Row], field: str) -> dict[str, float | None]:
    """Quantiles, in ms, of what came at all."""
    found = [row[field] / 1e6 for row in rows if row[field] > 0]
    names = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    spread: dict[str, float | None] = {name: rank(found, share) if found else None for name, share in names.items()}
    return {**spread, "min_ms": min(found, default=None), "max_ms": max(found, default=None)}


def drops(run: Path, raw: Raw, cause: Callable[[RawTrial, Row], str]) -> Counter[tuple[str, ...]]:
    """(cell …, node, interface, cause, reason, function) → packets."""
    found: Counter[tuple[str, ...]] = Counter()
    for cell, trials in by_cell(run, raw, "drops"):
        for trial in trials:
            for row in trial.rows("drops"):
                where = (row["node"] or NOBODY, row["interface"] or NOBODY, cause(trial, row))
                found[(*cell, *where, row["reason"], row["location"])] += 1
    return found


def held(steps: Sequence[tuple[float, float]], start: float, end: float) -> list[tuple[float, float]]:
    """(value, for how long) of something that is 0 first and then holds each value until the next."""
    edges = [(start, 0.0)]
    for at, value in steps:
        if at <= start:
            edges = [(start, value)]
        elif at < end:
            edges.append((at, value))
    edges.append((end, 0.0))
    return [(value, after - at) for (at, value), (after, _next) in itertools.pairwise(edges)]


def queue_rows(trial: RawTrial, node: str, interface: str) -> list[Row]:
    return [row for row in trial.rows("queue") if (row["node"], row["interface"]) == (node, interface)]


def grown_by_tc(trial: RawTrial, node: str, interface: str, counter: str) -> int:
    """By how much a counter of an interface's outermost discipline has grown while traffic ran."""
    (port,) = (one for one in trial.record["interfaces"] if (one["node"], one["interface"]) == (node, interface))
    before, after = (
        sum(one.get(counter, 0) for one in port[when] if "parent" not in one or one["kind"] == "clsact")
        for when in ("qdiscs_before", "qdiscs_after")
    )
    found: int = after - before
    return found


def lives(trial: RawTrial) -> list[list[Row]]:
    """The changes of state of each end of a connection, one list for each."""
    open_: dict[int, list[Row]] = {}
    found = []
    for row in trial.rows("states"):
        life = open_.setdefault(row["skaddr"], [])
        if not life:
            found.append(life)
        life.append(row)
        if row["newstate"] == "CLOSE":
            del open_[row["skaddr"]]
    return found


def stretches(life: Sequence[Row], end_s: float) -> list[tuple[str, float, float]]:
    """(state, from, to) of one end of a connection, in seconds."""
    first = life[0]
    found = []
    if first["duration_ns"] and first["oldstate"] not in ("CLOSE", "LISTEN"):
        found.append((first["oldstate"], (first["t"] - first["duration_ns"]) / 1e9, first["t"] / 1e9))
    for place, row in enumerate(life):
        if row["newstate"] not in ("CLOSE", "LISTEN"):
            last = place + 1 == len(life)
            found.append((row["newstate"], row["t"] / 1e9, end_s if last else life[place + 1]["t"] / 1e9))
    return found
