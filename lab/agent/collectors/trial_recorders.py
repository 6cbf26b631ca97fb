# SPDX-License-Identifier: Apache-2.0
"""Run all collectors of one trial: start them together, drain them, and switch each on and off at its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.agent.collectors.loader import Programs
from lab.agent.collectors.options import settings
from lab.agent.collectors.recording import RELAXED_TICK_NS, Recorder, RingRecorder, recorder
from lab.agent.topology.network import Network
from lab.job.protocol import CollectorResult, Job


class TrialRecorders:
    """The recorders of the collectors that a job asks for."""

    def __init__(
        self, network: Network, programs: Programs | None, directory: Path, log: Callable[[str], None]
    ) -> None:
        """Create the recorders; nothing is recorded yet.

        Raises:
            ValueError: The job asks for collectors, but there is no BPF loader (*programs* is None).
        """
        job = network.job
        self._log = log
        self._recorders = [
            _recorder(name, job, network, _need(programs), directory) for name in sorted(job["collectors"])
        ]
        self._switches = _switches(job)

    @property
    def rings(self) -> list[RingRecorder]:
        """The recorders of collectors that write to ring buffers."""
        return [one for one in self._recorders if isinstance(one, RingRecorder)]

    def start(self) -> None:
        """Start all recorders; those with a time window stay switched off until it begins."""
        for one in self._recorders:
            one.start(on=not self._switches[one.name])

    def drain(self, now_ns: int) -> None:
        """Move buffered events to the record, and switch on or off the collectors whose time has come.

        ``now_ns`` is the time since the start of traffic.
        """
        for one in self._recorders:
            one.drain(now_ns)
            switches = self._switches[one.name]
            while switches and switches[0][0] <= now_ns:
                _when, on = switches.pop(0)
                self._log(f"{one.name}: {'on' if on else 'off'}")
                (one.switch_on if on else one.switch_off)()

    def drain_by(self, now_ns: int) -> int:
        """Return the time by which :meth:`drain`, which was called at ``now_ns``, must be called again.

        Both are times since the start of traffic, in ns.
        """
        readings = [one.drain_by(now_ns) for one in self._recorders]
        switches = [pending[0][0] for pending in self._switches.values() if pending]
        return min([*readings, *switches, now_ns + RELAXED_TICK_NS])

    def stop(self, now_ns: int) -> dict[str, CollectorResult]:
        """Stop all recorders and return name → result of each part of the record that they have written."""
        return {name: result for one in self._recorders for name, result in one.stop(now_ns).items()}


def _recorder(name: str, job: Job, network: Network, programs: Programs, directory: Path) -> Recorder:
    options = job["collectors"][name]
    if options.get("ends") == "senders" and any(flow["initiator"] == "destination" for flow in job["flows"]):
        # A flow whose destination opens the connection sends from its server's port.  The filter tells senders from
        # receivers by the side of the port, so with such a flow it cannot tell them apart.
        options = {**options, "ends": "both"}
    if name == "tcp_probe":
        # Between two ACKs, only a timeout changes the congestion window.
        options = {**options, "timeouts": True}
    nodes = {node["name"] for node in job["nodes"]}
    # Drops are recorded on all ports, because a queue's drop counter, too, covers packets of any kind.
    ports = [0, 65535] if name == "drops" else [flow["port"] for flow in job["flows"]]

    def resolve(host: str) -> str:
        return network.address_of(host) if host in nodes else host

    chosen = settings(name, options, (min(ports), max(ports)), resolve)
    return recorder(name, programs, directory, chosen, options.get("interval") or 0)


def _switches(job: Job) -> dict[str, list[tuple[int, bool]]]:
    """Return collector → [(time in ns since the start of traffic, True to switch on or False to switch off)].

    The list is empty for collectors that run all the time.
    """
    switches: dict[str, list[tuple[int, bool]]] = {name: [] for name in job["collectors"]}
    for name, options in job["collectors"].items():
        window = options.get("window")
        if window is not None:
            switches[name] = [(window["from"], True)]
            if window.get("to") is not None:
                switches[name].append((window["to"], False))
    return switches


def _need(programs: Programs | None) -> Programs:
    if programs is None:
        raise ValueError("the job asks for collectors, but no BPF loader was given")
    return programs
