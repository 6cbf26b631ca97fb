# SPDX-License-Identifier: Apache-2.0
"""iperf3 servers and clients of a trial, started at their times, and their sockets' state near the end."""

from __future__ import annotations

import heapq
import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.agent.process import run
from lab.agent.sockdiag import Socket, SocketDiagnostics
from lab.agent.topology import Network
from lab.protocol import Flow, FlowResult, Job

TICK_NS = 250_000_000
"""How often collectors are drained while traffic runs."""

_LISTEN_DEADLINE_S = 10.0
_INFO_BEFORE_END_NS = 50_000_000
_STUCK_NS = 3_000_000_000
"""After the last flow's end: by then iperf3 has exchanged results, unless their packets are lost again and again."""

_GRACE_NS = 60_000_000_000
"""After a flow's declared end: its last data drain, and iperf3 exchanges results over the loaded path."""


class TrafficError(Exception):
    """iperf3 did not start, or did not end."""


def server_arguments(flow: Flow, address: str) -> list[str]:
    return ["iperf3", "--server", "--one-off", "--bind", address, "--port", str(flow["port"]), "--json"]


def client_arguments(flow: Flow, address: str) -> list[str]:
    arguments = [
        "iperf3", "--client", address,
        "--port", str(flow["port"]),
        "--congestion", flow["congestion_control"],
        "--interval", "1",
        "--json",
    ]  # fmt: skip
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
    ):
        if value is not None:
            arguments += [option, str(value)]
    return arguments


class _Flow:
    """One flow while it runs."""

    def __init__(self, network: Network, flow: Flow, directory: Path) -> None:
        self.flow = flow
        self.client_json = f"iperf3/{flow['name']}.client.json"
        self.server_json = f"iperf3/{flow['name']}.server.json"
        self.sockets: list[Socket] = []
        self.sockets_at_ns = 0
        self.is_reverse = flow["initiator"] == "destination"
        self.client_node, self.server_node = flow["source"], flow["destination"]
        if self.is_reverse:
            self.client_node, self.server_node = self.server_node, self.client_node
        self._network = network
        self._directory = directory
        self._address = network.address_of(self.server_node)
        self.server = self._start(self.server_node, server_arguments(flow, self._address), self.server_json)
        self.client: subprocess.Popen[bytes] | None = None

    def _start(self, node: str, arguments: list[str], output: str) -> subprocess.Popen[bytes]:
        with open(self._directory / output, "wb") as file:
            process: subprocess.Popen[bytes] = self._network.mininet[node].popen(
                arguments, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        return process

    def start_client(self) -> None:
        self.client = self._start(self.client_node, client_arguments(self.flow, self._address), self.client_json)

    def stop(self) -> None:
        for process in (self.client, self.server):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


class Traffic:
    """All flows of a job.  ``on_tick`` is called every :data:`TICK_NS` with the time since the start of traffic."""

    def __init__(self, network: Network, directory: Path, on_tick: Callable[[int], None]) -> None:
        self._network = network
        self._job: Job = network.job
        self._on_tick = on_tick
        (directory / "iperf3").mkdir(exist_ok=True)
        self._directory = directory
        sources = dict.fromkeys(flow["source"] for flow in self._job["flows"])
        self._diagnostics = {name: SocketDiagnostics(network.pid(name), self._job["ip"]) for name in sources}
        self._flows = [_Flow(network, flow, directory) for flow in self._job["flows"]]
        self.start_ns = 0
        self.end_ns = 0

    def wait_until_servers_listen(self) -> None:
        deadline = time.monotonic() + _LISTEN_DEADLINE_S
        for flow in self._flows:
            diagnostics = SocketDiagnostics(self._network.pid(flow.server_node), self._job["ip"])
            while flow.flow["port"] not in diagnostics.listening_ports():
                if flow.server.poll() is not None or time.monotonic() > deadline:
                    said = (self._directory / flow.server_json).read_text(errors="replace").strip()
                    raise TrafficError(f"flow {flow.flow['name']}: iperf3 server does not listen: {said}")
                time.sleep(0.005)
            diagnostics.close()

    def run(
        self,
        changes: Sequence[tuple[int, Callable[[], None]]] = (),
        on_stuck: Callable[[], None] = lambda: None,
        on_start: Callable[[int], None] = lambda _start_ns: None,
    ) -> None:
        """Run every flow from its start to its end; sets ``start_ns`` (monotonic) and ``end_ns`` (relative).

        ``changes``: what else is to be done at a time, in ns; before a flow that starts at the same time.
        ``on_stuck`` is called if all flows have ended and iperf3 cannot exchange their results: it gives up after 10 s,
        in which TCP backs off to few attempts.  ``on_start`` is called with the time at which traffic starts.
        """
        schedule = [(at_ns, number - len(changes), change) for number, (at_ns, change) in enumerate(changes)]
        self.start_ns = time.monotonic_ns()
        on_start(self.start_ns)
        last = 0
        for number, flow in enumerate(self._flows):
            schedule.append((flow.flow["start_ns"], 2 * number, flow.start_client))
            end = flow.flow["start_ns"] + flow.flow["duration_ns"]
            last = max(last, end)
            if flow.flow["limit_bytes"] is None:
                schedule.append((end - _INFO_BEFORE_END_NS, 2 * number + 1, lambda flow=flow: self._read_sockets(flow)))  # type: ignore[misc]
        heapq.heapify(schedule)
        while schedule:
            self._sleep_until(schedule[0][0])
            heapq.heappop(schedule)[2]()
        stuck = False
        while any(flow.client is not None and flow.client.poll() is None for flow in self._flows):
            if not stuck and self.now() > last + _STUCK_NS:
                stuck = True
                on_stuck()
            if self.now() > last + _GRACE_NS:
                raise TrafficError(f"iperf3 still runs {_GRACE_NS // 1_000_000_000} s after the end of the traffic")
            self._sleep_until(self.now() + TICK_NS // 5)
        self.end_ns = self.now()
        for flow in self._flows:
            try:
                flow.server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                raise TrafficError(f"flow {flow.flow['name']}: the iperf3 server does not end") from None

    def now(self) -> int:
        return time.monotonic_ns() - self.start_ns

    def _sleep_until(self, when_ns: int) -> None:
        while (now := self.now()) < when_ns:
            # Ticks fall on multiples of the tick, whatever else is due.
            tick = (now // TICK_NS + 1) * TICK_NS
            time.sleep((min(when_ns, tick) - now) / 1e9)
            if self.now() >= tick:
                self._on_tick(self.now())
                for flow in self._flows:
                    # Nobody knows when these end: the last time that they are seen is what counts.
                    if flow.flow["limit_bytes"] is not None and flow.client is not None and flow.client.poll() is None:
                        self._read_sockets(flow)

    def _read_sockets(self, flow: _Flow) -> None:
        now = self.now()
        port = flow.flow["port"]
        every = self._diagnostics[flow.flow["source"]].connections()
        found = [one for one in every if (one.local_port if flow.is_reverse else one.remote_port) == port]
        # Data is on its way for as long as there are two: the other one is iperf3's control connection.
        if len(found) > 1 or flow.flow["limit_bytes"] is None:
            flow.sockets, flow.sockets_at_ns = found, now

    def results(self) -> list[FlowResult]:
        return [self._result(flow) for flow in self._flows]

    def _result(self, flow: _Flow) -> FlowResult:
        assert flow.client is not None
        name = flow.flow["name"]
        sending, receiving = flow.client_json, flow.server_json
        if flow.is_reverse:
            sending, receiving = receiving, sending
        text = (self._directory / flow.client_json).read_text(errors="replace")
        try:
            report: dict[str, Any] = json.loads(text)
        except ValueError:
            raise TrafficError(f"flow {name}: iperf3 printed no JSON: {text.strip()[:500]}") from None
        if flow.client.returncode != 0 or "error" in report:
            raise TrafficError(f"flow {name}: iperf3: {report.get('error', f'exit {flow.client.returncode}')}")
        connected = report["start"]["connected"][0]
        local, remote = ("remote", "local") if flow.is_reverse else ("local", "remote")
        ports = (connected[f"{local}_port"], connected[f"{remote}_port"])
        data = next((one for one in flow.sockets if (one.local_port, one.remote_port) == ports), None)
        if data is None:
            raise TrafficError(
                f"flow {name}: its data socket (local port {ports[0]}) was not seen "
                + ("at any tick; let it send more" if flow.flow["limit_bytes"] is not None else "")
                + f"({_INFO_BEFORE_END_NS // 1_000_000} ms before its end); these were: {flow.sockets}"
            )
        return {
            "name": name,
            "exit_status": flow.client.returncode,
            "client_json": sending,
            "server_json": receiving,
            "source_address": connected[f"{local}_host"],
            "source_port": ports[0],
            "destination_address": connected[f"{remote}_host"],
            "destination_port": ports[1],
            "congestion_control": data.congestion_control,
            "tcp_info": data.info,
            "tcp_info_at_ns": flow.sockets_at_ns,
        }

    def stop(self) -> None:
        for flow in self._flows:
            flow.stop()
        for diagnostics in self._diagnostics.values():
            diagnostics.close()


def load_congestion_control(names: set[str]) -> list[str]:
    """Load what is missing; returns what the kernel then offers.  Raises :class:`TrafficError` for unknown names."""
    for name in sorted(names - set(_available())):
        try:
            run(["modprobe", f"tcp_{name}"])
        except Exception:
            continue  # judged below, by what the kernel then offers
    offered = _available()
    missing = sorted(names - set(offered))
    if missing:
        raise TrafficError(f"the kernel has no congestion control {', '.join(missing)}; it offers {', '.join(offered)}")
    return offered


def set_module_parameters(parameters: dict[str, dict[str, str]]) -> None:
    """Set parameters of congestion controls' modules, and read them back.  Raises :class:`TrafficError`."""
    for algorithm, values in sorted(parameters.items()):
        folder = Path(f"/sys/module/tcp_{algorithm}/parameters")
        for name, value in values.items():
            if not (folder / name).exists():
                known = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
                raise TrafficError(f"tcp_{algorithm} has no parameter {name}; it has {', '.join(known) or 'none'}")
            try:
                (folder / name).write_text(value)
            except OSError as exc:
                raise TrafficError(f"tcp_{algorithm}: {name}={value}: {exc.strerror}") from exc


def _available() -> list[str]:
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as file:
        return sorted(file.read().split())
