# SPDX-License-Identifier: Apache-2.0
"""Run one iperf3 server and client."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from lab.agent.process import kill
from lab.agent.topology.network import Network
from lab.agent.traffic.iperf3_output import read_output
from lab.agent.traffic.sockdiag import SocketDiagnostics
from lab.agent.traffic.transfer import TransferError
from lab.job.accounts import FlowAccounts
from lab.job.protocol import Flow, FlowResult

_LISTEN_DEADLINE_S = 10.0


def ends(flow: Flow) -> tuple[str, str]:
    """Return the nodes of iperf3's client, which opens the connection, and of its server."""
    source, destination = flow["source"], flow["destination"]
    return (destination, source) if flow["initiator"] == "destination" else (source, destination)


def server_arguments(flow: Flow, address: str) -> list[str]:
    """Return the command line of the flow's iperf3 server, which listens on *address*."""
    return ["iperf3", "--server", "--one-off", "--bind", address, "--port", str(flow["port"]), "--json"]


def client_arguments(flow: Flow, address: str, data_port: int) -> list[str]:
    """Return the command line of the flow's iperf3 client, which connects to *address*.

    Its data connection uses *data_port*; its control connection uses any other.
    """
    arguments = ["iperf3", "--client", address, "--port", str(flow["port"]), "--cport", str(data_port)]
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

    def __init__(self, network: Network, flow: Flow, data_port: int, directory: Path) -> None:
        """Start the flow's server."""
        self.flow = flow
        self._network = network
        self._data_port = data_port
        self._directory = directory
        self._client_json = f"iperf3/{flow['name']}.client.json"
        self._server_json = f"iperf3/{flow['name']}.server.json"
        self._was_given_up = False
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
        self._client = self._start(
            self._client_node, client_arguments(self.flow, self._address, self._data_port), self._client_json
        )

    def is_running(self) -> bool:
        return self._client is not None and self._client.poll() is None

    def give_up(self) -> None:
        if self.is_running():
            assert self._client is not None
            self._was_given_up = True
            self._client.terminate()

    def finish(self) -> None:
        self.give_up()
        for process in (self._client, self._server):
            if process is None:
                continue
            try:
                process.wait(timeout=1 if self._was_given_up else 10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def result(self, accounts: FlowAccounts) -> FlowResult:
        self._check()
        sending, receiving = self._client_json, self._server_json
        addresses = [self._network.address_of(self.flow[end]) for end in ("source", "destination")]
        ports = [self._data_port, self.flow["port"]]
        if self._is_reverse:
            sending, receiving = receiving, sending
            ports.reverse()
        ended = next((end for end in accounts["sockets"] if end["is_sender"]), None)
        return {
            "name": self.flow["name"],
            "client_json": sending,
            "server_json": receiving,
            "source_address": addresses[0],
            "source_port": ports[0],
            "destination_address": addresses[1],
            "destination_port": ports[1],
            "congestion_control": ended["congestion_control"] if ended else self.flow["congestion_control"],
            "tcp_info": ended["tcp_info"] if ended else {},
            "tcp_info_at_ns": ended["at_ns"] if ended else 0,
            "accounts": accounts,
            "was_given_up": self._was_given_up,
        }

    def _check(self) -> None:
        """Check that iperf3 has done what it was asked to do, unless it was ended because its time was over.

        Raises:
            TransferError: The client failed, or one of both ends left no JSON.
        """
        assert self._client is not None
        if self._was_given_up:
            return
        who = f"flow {self.flow['name']}: the iperf3"
        report = read_output(f"{who} client", self._client.returncode, self._directory / self._client_json)
        if "error" in report:
            raise TransferError(f"{who} client failed: {report['error']}")
        read_output(f"{who} server", self._server.returncode, self._directory / self._server_json)

    def stop(self) -> None:
        kill(self._client, self._server)
