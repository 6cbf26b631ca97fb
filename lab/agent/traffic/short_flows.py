# SPDX-License-Identifier: Apache-2.0
"""Run the short flows of a job in a client and a server process, and collect the outcome of each flow."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

from lab.agent.collectors.recording import write_rows
from lab.agent.process import is_ready, kill, last_line, start_module, tell
from lab.agent.topology.network import Network
from lab.agent.traffic.short_flow_ends import RECEIVED, SENT
from lab.agent.traffic.transfer import TransferError
from lab.job.accounts import FlowAccounts
from lab.job.protocol import CollectorResult, Flow, FlowResult

COLLECTOR = "completions"
"""The name under which the rows of all short flows are in the record's ``collectors``."""

_FIELDS = (
    ("ts_ns", "<u8"),
    ("fct_ns", "<u8"),
    ("connect_ns", "<u8"),
    ("bytes", "<u8"),
    ("group", "<u4"),
    ("number", "<u4"),
    ("retransmissions", "<u4"),
    ("sport", "<u2"),
)
_MODULE = "lab.agent.traffic.short_flow_ends"


@dataclass(frozen=True)
class Completion:
    """The outcome of one short flow."""

    began_ns: int
    """When the client began to connect, in ns on CLOCK_MONOTONIC."""
    fct_ns: int
    """Flow completion time: from ``began_ns`` until the server read the last byte, in ns; 0 if the flow did not
    complete."""
    connect_ns: int
    """Time from ``began_ns`` until the connection was established, in ns; 0 if it never was."""
    bytes: int
    """Bytes that the server received."""
    number: int
    retransmissions: int
    port: int


class ShortFlows:
    """A flow with ``arrivals``, which consists of many short flows.

    Implements :class:`lab.agent.traffic.transfer.Transfer`.
    """

    def __init__(self, network: Network, flow: Flow, directory: Path) -> None:
        self.flow = flow
        self._network = network
        self._directory = directory
        self._address = network.address_of(flow["destination"])
        self._errors = self._file("errors")
        port = str(flow["port"])
        self._server = self._start(flow["destination"], ["server", self._address, port, str(self._file("received"))])
        self._client: subprocess.Popen[bytes] | None = None
        self._completions: list[Completion] = []
        self._congestion: set[str] = set()

    def _file(self, what: str) -> Path:
        return self._directory / f"short-{self.flow['name']}.{what}"

    def _start(self, node: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        return start_module(self._network.mininet[node].popen, _MODULE, arguments, self._errors)

    def wait_until_ready(self) -> None:
        self._need(self._server)
        plan = self._file("plan")
        plan.write_text(json.dumps(self.flow["arrivals"]), encoding="ascii")
        self._client = self._start(
            self.flow["source"],
            [
                "client", self._address, str(self.flow["port"]), self.flow["congestion_control"],
                str(self.flow["mss_bytes"] or 0), str((self.flow["pacing_bps"] or 0) // 8),
                str(plan), str(self._file("sent")),
            ],
        )  # fmt: skip
        self._need(self._client)

    def _need(self, process: subprocess.Popen[bytes]) -> None:
        if not is_ready(process):
            raise TransferError(f"flow {self.flow['name']}: a process did not start: {last_line(self._errors)}")

    def begin(self, start_ns: int) -> None:
        assert self._client is not None
        tell(self._client, start_ns)

    def start(self) -> None:
        """Do nothing: the client process knows the times of all its flows."""

    def give_up(self) -> None:
        """Do nothing: short flows have more time than their declared duration to complete."""

    def is_running(self) -> bool:
        return self._client is not None and self._client.poll() is None

    def finish(self) -> None:
        """End both processes and read what they have measured; short flows that are still running are not completed."""
        assert self._client is not None
        if self._client.poll() is None:
            self._client.send_signal(signal.SIGTERM)
        status = self._client.wait(timeout=60)
        self._server.send_signal(signal.SIGTERM)
        if status != 0 or self._server.wait(timeout=60) != 0:
            raise TransferError(f"flow {self.flow['name']}: a process failed: {last_line(self._errors)}")
        received: dict[int, deque[tuple[int, int]]] = defaultdict(deque)
        for last_ns, amount, port in RECEIVED.iter_unpack(self._file("received").read_bytes()):
            received[port].append((last_ns, amount))
        for began, connected, _sent, number, retransmissions, is_closed, port, congestion in SENT.iter_unpack(
            self._file("sent").read_bytes()
        ):
            # If a port was used by several connections, they ended in the order in which they began.
            last_ns, amount = received[port].popleft() if connected and received[port] else (0, 0)
            is_whole = is_closed and amount == self._planned(number)
            self._completions.append(
                Completion(
                    began_ns=began,
                    fct_ns=last_ns - began if is_whole else 0,
                    connect_ns=connected - began if connected else 0,
                    bytes=amount,
                    number=number,
                    retransmissions=retransmissions,
                    port=port,
                )
            )
            if connected:
                self._congestion.add(congestion.rstrip(b"\0").decode("ascii"))

    def _planned(self, number: int) -> int:
        assert self.flow["arrivals"] is not None
        return self.flow["arrivals"]["bytes"][number]

    def result(self, accounts: FlowAccounts) -> FlowResult:
        return {
            "name": self.flow["name"],
            "client_json": "",
            "server_json": "",
            "source_address": self._network.address_of(self.flow["source"]),
            "source_port": 0,
            "destination_address": self._address,
            "destination_port": self.flow["port"],
            # If no flow connected, there was no socket from which the algorithm could be read back.
            "congestion_control": ",".join(sorted(self._congestion)) or self.flow["congestion_control"],
            "tcp_info": {},
            "tcp_info_at_ns": 0,
            "accounts": accounts,
            "was_given_up": False,
        }

    def completions(self) -> list[Completion]:
        return self._completions

    def stop(self) -> None:
        kill(self._client, self._server)
        for what in ("plan", "sent", "received", "errors"):
            self._file(what).unlink(missing_ok=True)


def completions_result(flows: list[ShortFlows], directory: Path) -> dict[str, CollectorResult]:
    """Return :data:`COLLECTOR` → the rows of all *flows*; an empty dictionary if there are no flows."""
    if not flows:
        return {}
    rows = sorted(
        (done.began_ns, done.fct_ns, done.connect_ns, done.bytes, group, done.number, done.retransmissions, done.port)
        for group, flow in enumerate(flows)
        for done in flow.completions()
    )
    names = {str(group): flow.flow["name"] for group, flow in enumerate(flows)}
    file = f"{COLLECTOR}.rows"
    output = open(directory / file, "wb")  # noqa: SIM115 - write_rows() closes it
    return {COLLECTOR: write_rows(file, output, rows, _FIELDS, names={"group": names})}
