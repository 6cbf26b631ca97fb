# SPDX-License-Identifier: Apache-2.0
"""Run a job's latency probes at the same time as its traffic, and add their measurements to the record."""

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
"""The name under which the rows of the probes are in the record's ``collectors``."""

_FIELDS = (("ts_ns", "<u8"), ("rtt_ns", "<u8"), ("probe", "<u4"))
_GRACE_NS = 10_000_000_000


class ProbeError(Exception):
    """A latency probe did not start or failed."""


class _Probe:
    """The client and the server process of one probe."""

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
            self._wait_for(self._server)
        sizes = [str(probe[name]) for name in ("interval_ns", "request_bytes", "response_bytes")]
        self._client = self._start(probe["source"], ["client", *common, *sizes, str(self._output)])

    def _start(self, node: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        return start_module(
            self._network.mininet[node].popen, "lab.agent.traffic.latency_probe_ends", arguments, self._errors
        )

    def wait_until_ready(self) -> None:
        self._wait_for(self._client)

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        if not is_ready(process):
            raise ProbeError(f"the probe {self.probe['name']} did not start: {last_line(self._errors)}")

    def begin(self, start_ns: int) -> None:
        """Tell the client when to send; ``start_ns`` is the start of traffic (CLOCK_MONOTONIC)."""
        begin = start_ns + self.probe["start_ns"]
        tell(self._client, begin, begin + self.probe["duration_ns"])

    def end(self, deadline_ns: int) -> bytes:
        """Wait for the last answers, until ``deadline_ns`` (CLOCK_MONOTONIC) at most, and return the rows."""
        try:
            status = self._client.wait(max(1.0, (deadline_ns - time.monotonic_ns()) / 1e9))
        except subprocess.TimeoutExpired:
            # The client may wait for ever if the last request was not answered.
            self._client.send_signal(signal.SIGTERM)
            status = self._client.wait()
        if status not in (0, -signal.SIGTERM):
            raise ProbeError(f"the probe {self.probe['name']} failed: {last_line(self._errors)}")
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
            for started in self._probes:
                started.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def begin(self, start_ns: int) -> None:
        """Tell all probes the start of traffic (CLOCK_MONOTONIC, in ns)."""
        for probe in self._probes:
            probe.begin(start_ns)

    def results(self) -> dict[str, CollectorResult]:
        """Return :data:`COLLECTOR` → the rows of all probes; an empty dictionary if the job has no probes."""
        if not self._probes:
            return {}
        deadline = time.monotonic_ns() + _GRACE_NS
        rows = [
            (sent, answered, number)
            for number, probe in enumerate(self._probes)
            for sent, answered in ROW.iter_unpack(probe.end(deadline))
        ]
        names = {str(number): probe.probe["name"] for number, probe in enumerate(self._probes)}
        file = f"{COLLECTOR}.rows"
        output = open(self._directory / file, "wb")  # noqa: SIM115 - write_rows() closes it
        return {COLLECTOR: write_rows(file, output, sorted(rows), _FIELDS, names={"probe": names})}

    def stop(self) -> None:
        """Kill the processes of all probes and delete their temporary files."""
        for probe in self._probes:
            probe.stop()
