# SPDX-License-Identifier: Apache-2.0
"""Run one iperf3 server and client, and read the state of their data socket shortly before the flow ends."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from lab.agent.process import kill
from lab.agent.topology.network import Network
from lab.agent.traffic.sockdiag import Socket, SocketDiagnostics
from lab.agent.traffic.transfer import TransferError
from lab.job.protocol import Flow, FlowResult

INFO_BEFORE_END_NS = 50_000_000
"""How long before the flow's end the data socket is read, in nanoseconds."""

_LISTEN_DEADLINE_S = 10.0


def ends(flow: Flow) -> tuple[str, str]:
    """Return the nodes of iperf3's client, which opens the connection, and of its server."""
    source, destination = flow["source"], flow["destination"]
    return (destination, source) if flow["initiator"] == "destination" else (source, destination)


def server_arguments(flow: Flow, address: str) -> list[str]:
    """Return the command line of the flow's iperf3 server, which listens on *address*."""
    return ["iperf3", "--server", "--one-off", "--bind", address, "--port", str(flow["port"]), "--json"]


def client_arguments(flow: Flow, address: str) -> list[str]:
    """Return the command line of the flow's iperf3 client, which connects to *address*."""
    arguments = ["iperf3", "--client", address, "--port", str(flow["port"])]
    arguments += ["--udp"] if flow["protocol"] == "udp" else ["--congestion", flow["congestion_control"]]
    arguments += ["--interval", "1", "--json"]
    if flow["limit_bytes"] is not None:
        arguments += ["--bytes", str(flow["limit_bytes"])]
    else:
        arguments += ["--time", f"{flow['duration_ns'] / 1e9:g}"]
    if flow["initiator"] == "destination":
        arguments.append("--reverse")
    for option, value in (
        ("--bitrate", flow["rate_bps"]),
        ("--length", flow["message_bytes"]),
        ("--set-mss", flow["mss_bytes"]),
        ("--fq-rate", flow["pacing_bps"]),
    ):
        if value is not None:
            arguments += [option, str(value)]
    return arguments


class Iperf3Flow:
    """A flow that iperf3 sends.  Implements :class:`lab.agent.traffic.transfer.Transfer`."""

    def __init__(self, network: Network, flow: Flow, directory: Path, diagnostics: SocketDiagnostics) -> None:
        """Start the flow's server; ``diagnostics`` must be those of the node that sends."""
        self.flow = flow
        self._network = network
        self._directory = directory
        self._diagnostics = diagnostics
        self._client_json = f"iperf3/{flow['name']}.client.json"
        self._server_json = f"iperf3/{flow['name']}.server.json"
        self._sockets: list[Socket] = []
        self._sockets_at_ns = 0
        self._is_reverse = flow["initiator"] == "destination"
        self._client_node, self._server_node = ends(flow)
        self._address = network.address_of(self._server_node)
        self._server = self._start(self._server_node, server_arguments(flow, self._address), self._server_json)
        self._client: subprocess.Popen[bytes] | None = None

    def _start(self, node: str, arguments: list[str], output: str) -> subprocess.Popen[bytes]:
        with open(self._directory / output, "wb") as file:
            process: subprocess.Popen[bytes] = self._network.mininet[node].popen(
                arguments, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        return process

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _LISTEN_DEADLINE_S
        diagnostics = SocketDiagnostics(self._network.pid(self._server_node), self._network.job["ip"])
        while self.flow["port"] not in diagnostics.listening_ports():
            if self._server.poll() is not None or time.monotonic() > deadline:
                output = (self._directory / self._server_json).read_text(errors="replace").strip()
                raise TransferError(
                    f"flow {self.flow['name']}: the iperf3 server does not listen on its port; it printed: {output}"
                )
            time.sleep(0.005)
        diagnostics.close()

    def begin(self, start_ns: int) -> None: ...

    def start(self) -> None:
        self._client = self._start(self._client_node, client_arguments(self.flow, self._address), self._client_json)

    def is_running(self) -> bool:
        return self._client is not None and self._client.poll() is None

    def wants_ticks(self) -> bool:
        # A flow with a byte limit ends at an unknown time, so its socket is read at each tick and the last reading is
        # kept.
        return self.flow["limit_bytes"] is not None and self.is_running()

    def tick(self, now_ns: int) -> None:
        if self.wants_ticks():
            self._read_sockets(now_ns)

    def before_end(self, now_ns: int) -> None:
        if self.flow["limit_bytes"] is None:
            self._read_sockets(now_ns)

    def _read_sockets(self, now_ns: int) -> None:
        if self.flow["protocol"] == "udp":
            return
        port = self.flow["port"]
        connections = self._diagnostics.connections()
        found = [
            connection
            for connection in connections
            if (connection.local_port if self._is_reverse else connection.remote_port) == port
        ]
        # iperf3 has a control connection besides the one for data.  As long as both exist, the flow is still sending.
        if len(found) > 1 or self.flow["limit_bytes"] is None:
            self._sockets, self._sockets_at_ns = found, now_ns

    def finish(self, *, is_late: bool) -> None:
        if is_late:
            raise TransferError(f"flow {self.flow['name']}: the iperf3 client has not ended in time")
        try:
            self._server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            raise TransferError(f"flow {self.flow['name']}: the iperf3 server has not ended in time") from None

    def result(self) -> FlowResult:
        name = self.flow["name"]
        sending, receiving = self._client_json, self._server_json
        if self._is_reverse:
            sending, receiving = receiving, sending
        report = self._report()
        connected = report["start"]["connected"][0]
        local, remote = ("remote", "local") if self._is_reverse else ("local", "remote")
        ports = (connected[f"{local}_port"], connected[f"{remote}_port"])
        info, algorithm = self._socket_info(ports)
        return {
            "name": name,
            "exit_status": 0,
            "client_json": sending,
            "server_json": receiving,
            "source_address": connected[f"{local}_host"],
            "source_port": ports[0],
            "destination_address": connected[f"{remote}_host"],
            "destination_port": ports[1],
            "congestion_control": algorithm,
            "tcp_info": info,
            "tcp_info_at_ns": self._sockets_at_ns,
        }

    def _report(self) -> dict[str, Any]:
        """Return the JSON report that the client printed.

        Raises:
            TransferError: The client printed no JSON, reported an error or failed.
        """
        assert self._client is not None
        name = self.flow["name"]
        text = (self._directory / self._client_json).read_text(errors="replace")
        try:
            report: dict[str, Any] = json.loads(text)
        except ValueError:
            raise TransferError(f"flow {name}: iperf3 printed no JSON but: {text.strip()[:500]}") from None
        if self._client.returncode != 0 or "error" in report:
            error = report.get("error", f"exit status {self._client.returncode}")
            raise TransferError(f"flow {name}: iperf3 failed: {error}")
        return report

    def _socket_info(self, ports: tuple[int, int]) -> tuple[dict[str, int], str]:
        """Return (tcp_info, congestion control) of the data socket with these ports, as it was last read.

        Raises:
            TransferError: The socket was never seen.
        """
        if self.flow["protocol"] == "udp":
            return {}, "udp"
        data = next((found for found in self._sockets if (found.local_port, found.remote_port) == ports), None)
        if data is None:
            if self.flow["limit_bytes"] is not None:
                when = "while it was sending; the flow is too short to be observed: let it send more"
            else:
                when = f"{INFO_BEFORE_END_NS // 1_000_000} ms before its end"
            raise TransferError(
                f"flow {self.flow['name']}: its data socket (local port {ports[0]}) was not found {when}; "
                f"found these sockets: {self._sockets}"
            )
        return data.info, data.congestion_control

    def stop(self) -> None:
        kill(self._client, self._server)
