# SPDX-License-Identifier: Apache-2.0
"""Export a trial as a data file of flent (``.flent.gz``), which flent and its GUI open and plot.

The file is one of flent's test ``tcp_nup`` (a number of TCP uploads beside a ping), so that flent knows its plots.

=====================================  ==============================================================================
series                                 values, at intervals of :data:`STEP_NS`
=====================================  ==============================================================================
``TCP upload::1``, ``::2`` …           goodput of each TCP flow where it arrives, in Mbit/s: the mean of the interval
                                       that ends there
``TCP upload::1::tcp_cwnd``            congestion window in segments, if ``tcp_probe`` was recorded
``TCP upload::1::tcp_rtt``             smoothed RTT in ms, if ``tcp_probe`` was recorded
``TCP upload avg``, ``sum``            mean and sum over the flows, in Mbit/s
``TCP upload fairness``                Jain's index over the flows
``Ping (ms) ICMP``, ``UDP``, ``TCP``   mean round-trip time of the requests of a latency probe that were sent in the
                                       interval, in ms
=====================================  ==============================================================================

Format: flent's documentation, "The Data File Format" (doc/data-format.rst), version 4 of the file format.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.analysis.statistics import jain_index
from lab.errors import InputError
from lab.evaluation.trial import arrivals_of
from lab.job.protocol import Flow, Probe
from lab.store.run import Run
from lab.store.trial import TrialResult

STEP_NS = 200_000_000
"""The interval between values, flent's own; if bins of time do not fit into it, the next multiple of their width."""

_VERSION = 4
_TEST = "tcp_nup"
_KINDS = {"ping": "ICMP", "udp": "UDP", "tcp": "TCP"}

_Values = list[float | None]


def require(trial: TrialResult) -> None:
    """Raise an error if the trial has no TCP flow.

    Raises:
        InputError: It has none.
    """
    if not _tcp_flows(trial):
        raise InputError(f"trial {trial.id} has no TCP flow, which flent's test {_TEST} consists of")


def files(run: Run, trial: TrialResult) -> Iterator[tuple[str, bytes]]:
    """Yield the file of the trial, with its name."""
    text = json.dumps(document(run, trial), sort_keys=True, separators=(",", ":"), allow_nan=False)
    yield f"{trial.id}.flent.gz", gzip.compress(text.encode(), mtime=0)


def document(run: Run, trial: TrialResult) -> dict[str, Any]:
    """Return the content of the file."""
    bin_ns, duration_ns = trial.job["bin_ns"], trial.job["duration_ns"]
    step_ns = -(-STEP_NS // bin_ns) * bin_ns
    ends_ns = np.arange(-(-duration_ns // step_ns) + 1, dtype=np.int64) * step_ns
    began = _began(run)
    made = _Series(ends_ns, began.timestamp())
    made.add_flows(trial)
    made.add_probes(trial)
    flows = _tcp_flows(trial)
    time = began.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    metadata = {
        "NAME": _TEST,
        "TITLE": f"{run.plan.get('name', run.experiment)} {trial.id}",
        "NOTE": "\n".join(f"{name}: {flow['name']}" for name, flow in _named(flows)),
        "TIME": time,
        "T0": time,
        "LENGTH": duration_ns / 1e9,
        "TOTAL_LENGTH": duration_ns / 1e9,
        "STEP_SIZE": step_ns / 1e9,
        "TEST_PARAMETERS": {"upload_streams": str(len(flows))},
        "HOST": flows[0]["destination"],
        "HOSTS": sorted({flow["destination"] for flow in flows}),
        "LOCAL_HOST": flows[0]["source"],
        "IP_VERSION": 6 if trial.job["ip"] == "ipv6" else 4,
        "KERNEL_NAME": "Linux",
        "KERNEL_RELEASE": trial.record["kernel"],
        "FLENT_VERSION": None,
        "DATA_FILENAME": f"{trial.id}.flent.gz",
        "SERIES_META": made.meta,
    }
    return {
        "version": _VERSION,
        "metadata": metadata,
        "x_values": (ends_ns / 1e9).tolist(),
        "results": made.results,
        "raw_values": made.raw,
    }


def _tcp_flows(trial: TrialResult) -> list[Flow]:
    return [flow for flow in trial.job["flows"] if flow["protocol"] == "tcp"]


def _named(flows: Sequence[Flow]) -> list[tuple[str, Flow]]:
    return [(f"TCP upload::{number}", flow) for number, flow in enumerate(flows, 1)]


def _began(run: Run) -> datetime:
    """Return when the run began, which stands for the start of each of its trials."""
    try:
        return datetime.fromisoformat(str(run.provenance.get("started"))).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


class _Series:
    """The series of the file, while it is being made."""

    def __init__(self, ends_ns: NDArray[np.int64], began_s: float) -> None:
        self._ends_ns = ends_ns
        self._began_s = began_s
        self.results: dict[str, _Values] = {}
        self.raw: dict[str, list[dict[str, Any]]] = {}
        self.meta: dict[str, dict[str, Any]] = {}

    def add_flows(self, trial: TrialResult) -> None:
        arrivals, rates = arrivals_of(trial), []
        edges_ns = self._ends_ns
        for name, flow in _named(_tcp_flows(trial)):
            bins = arrivals[flow["name"]]
            counted, _edges = np.histogram(bins.start_ns, edges_ns, weights=bins.bytes)
            mbits = [None, *(counted * 8e3 / np.diff(edges_ns)).tolist()]
            # A flow that has not begun, or has ended, has no rate; one of 0 would count in the mean of all flows.
            began_ns, ended_ns = flow["start_ns"], flow["start_ns"] + flow["duration_ns"]
            ends = edges_ns.tolist()
            spans = [False, *(start < ended_ns and end > began_ns for start, end in itertools.pairwise(ends))]
            values = [value if inside else None for value, inside in zip(mbits, spans, strict=True)]
            self._add(name, values, "Mbits/s", cong_control=flow["congestion_control"], flow=flow["name"])
            rates.append(values)
        over_flows = [[value for value in at if value is not None] for at in zip(*rates, strict=True)]
        self._add("TCP upload sum", [math.fsum(at) if at else None for at in over_flows], "Mbits/s")
        self._add("TCP upload avg", [math.fsum(at) / len(at) if at else None for at in over_flows], "Mbits/s")
        self._add("TCP upload fairness", [jain_index(at) for at in over_flows], "Idx")
        if "tcp_probe" in trial.record["collectors"]:
            self._add_sockets(trial)

    def _add_sockets(self, trial: TrialResult) -> None:
        """Add the congestion window and the smoothed RTT that hold at the end of each interval."""
        columns = ("time_ns", "snd_cwnd", "srtt_us", "flow", "end")
        table = trial.collected("tcp_probe", columns)
        table = table.filter(pc.equal(table.column("end"), "source"))
        for name, flow in _named(_tcp_flows(trial)):
            own = table.filter(pc.equal(table.column("flow"), flow["name"]))
            times, cwnd, srtt = (own.column(column).to_numpy() for column in columns[:3])
            last = np.searchsorted(times, self._ends_ns, side="right") - 1
            ended_ns = flow["start_ns"] + flow["duration_ns"]
            holds = (last >= 0) & (self._ends_ns <= ended_ns)
            for key, values in (("tcp_cwnd", cwnd.astype(float)), ("tcp_rtt", srtt / 1e3)):
                found = [float(values[index]) if there else None for index, there in zip(last, holds, strict=True)]
                self._add(f"{name}::{key}", found, "ms" if key == "tcp_rtt" else "")
                self.raw[name] += [
                    {"t": self._at(end), key: value}
                    for end, value in zip(self._ends_ns.tolist(), found, strict=True)
                    if value is not None
                ]

    def add_probes(self, trial: TrialResult) -> None:
        if not trial.job["probes"]:
            return
        table = trial.collected("latency", ["time_ns", "rtt_ns", "probe"])
        for probe in trial.job["probes"]:
            own = table.filter(pc.equal(table.column("probe"), probe["name"]))
            self._add_probe(probe, own.column("time_ns").to_numpy(), own.column("rtt_ns").to_numpy())

    def _add_probe(self, probe: Probe, times: NDArray[Any], rtts: NDArray[Any]) -> None:
        name = f"Ping (ms) {_KINDS[probe['kind']]}"
        if name in self.results:
            name += f" {probe['name']}"
        answered = rtts > 0
        number, _edges = np.histogram(times[answered], self._ends_ns)
        total, _edges = np.histogram(times[answered], self._ends_ns, weights=rtts[answered] / 1e6)
        means = [None, *(float(t / n) if n else None for t, n in zip(total, number, strict=True))]
        self._add(name, means, "ms", raw=False, probe=probe["name"])
        self.raw[name] = [
            {"t": self._at(time), "val": rtt / 1e6, "seq": seq}
            for seq, (time, rtt) in enumerate(zip(times.tolist(), rtts.tolist(), strict=True))
            if rtt > 0
        ]

    def _add(self, name: str, values: _Values, units: str, *, raw: bool = True, **more: Any) -> None:
        self.results[name] = values
        self.meta[name] = {"UNITS": units, **more}
        self.raw[name] = [
            {"t": self._at(end), "val": value}
            for end, value in zip(self._ends_ns.tolist(), values, strict=True)
            if raw and value is not None
        ]

    def _at(self, time_ns: int) -> float:
        return self._began_s + time_ns / 1e9
