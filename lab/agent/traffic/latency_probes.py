# SPDX-License-Identifier: Apache-2.0
"""Run a job's latency probes beside its traffic, and put what they measured into the record."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from lab.agent.collectors.recording import write_rows
from lab.agent.process import is_ready, kill, last_line, start_module, tell
from lab.agent.topology.network import Network
from lab.agent.traffic.latency_probe_ends import ROW
from lab.job.protocol import CollectorResult, Probe

COLLECTOR = "latency"
"""Under which its rows are in the record."""

_FIELDS = (("ts_ns", "<u8"), ("rtt_ns", "<u8"), ("probe", "<u4"))
_READY_S = 10.0
_GRACE_NS = 10_000_000_000


class ProbeError(Exception):
    """A probe did not start, or did not end."""


class _Probe:
    def __init__(self, network: Network, probe: Probe, directory: Path) -> None:
        self.probe = probe
        self._network = network
        self._output = directory / f"probe-{probe['name']}.rows"
        self._errors = directory / f"probe-{probe['name']}.errors"
        address = network.address_of(probe["destination"])
        common = [probe["kind"], address, str(probe["port"])]
        self._server = None
        if probe["kind"] != "ping":
            self._server = self._start(probe["destination"], ["server", *common, str(probe["response_bytes"])])
            # Its first line would come from the client only.
            time.sleep(0.1)
        sizes = [str(probe[name]) for name in ("interval_ns", "request_bytes", "response_bytes")]
        self._client = self._start(probe["source"], ["client", *common, *sizes, str(self._output)])

    def _start(self, node: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        return start_module(
            self._network.mininet[node].popen, "lab.agent.traffic.latency_probe_ends", arguments, self._errors
        )

    def wait_until_ready(self) -> None:
        if not is_ready(self._client):
            raise ProbeError(f"probe {self.probe['name']} does not start: {last_line(self._errors)}")

    def begin(self, start_ns: int) -> None:
        """``start_ns``: the start of traffic (CLOCK_MONOTONIC)."""
        begin = start_ns + self.probe["start_ns"]
        tell(self._client, begin, begin + self.probe["duration_ns"])

    def end(self, deadline_ns: int) -> bytes:
        """Wait for the last answers; returns the rows."""
        try:
            status = self._client.wait(max(1.0, (deadline_ns - time.monotonic_ns()) / 1e9))
        except subprocess.TimeoutExpired:
            # The answer to its last request may never come.
            self._client.send_signal(signal.SIGTERM)
            status = self._client.wait()
        if status not in (0, -signal.SIGTERM):
            raise ProbeError(f"probe {self.probe['name']} failed: {last_line(self._errors)}")
        rows = self._output.read_bytes() if self._output.exists() else b""
        return rows[: len(rows) // ROW.size * ROW.size]

    def stop(self) -> None:
        kill(self._client, self._server)
        for leftover in (self._output, self._errors):
            leftover.unlink(missing_ok=True)


class Latency:
    """All probes of a job."""

    def __init__(self, network: Network, directory: Path) -> None:
        self._directory = directory
        self._probes: list[_Probe] = []
        try:
            for probe in network.job["probes"]:
                self._probes.append(_Probe(network, probe, directory))
            for one in self._probes:
                one.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def begin(self, start_ns: int) -> None:
        for one in self._probes:
            one.begin(start_ns)

    def results(self) -> dict[str, CollectorResult]:
        """Collector's name → its rows; nothing where there are no probes."""
        if not self._probes:
            return {}
        deadline = time.monotonic_ns() + _GRACE_NS
        rows = [
            (sent, answered, number)
            for number, one in enumerate(self._probes)
            for sent, answered in ROW.iter_unpack(one.end(deadline))
        ]
        names = {str(number): one.probe["name"] for number, one in enumerate(self._probes)}
        file = f"{COLLECTOR}.rows"
        output = open(self._directory / file, "wb")  # noqa: SIM115 - write_rows() closes it
        return {COLLECTOR: write_rows(file, output, sorted(rows), _FIELDS, names={"probe": names})}

    def stop(self) -> None:
        for one in self._probes:
            one.stop()
