# SPDX-License-Identifier: Apache-2.0
"""All collectors of one trial: started together, drained while traffic runs, switched on and off at their times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.agent.collectors.loader import Programs
from lab.agent.collectors.options import settings
from lab.agent.collectors.recording import Recorder, recorder
from lab.agent.topology.network import Network
from lab.job.protocol import CollectorResult, Job


class TrialRecorders:
    """The recorders of the collectors that a job asks for."""

    def __init__(
        self, network: Network, programs: Programs | None, directory: Path, log: Callable[[str], None]
    ) -> None:
        """Make them; nothing is recorded yet.

        Raises:
            ValueError: The job asks for collectors, and there is no BPF loader.
        """
        job = network.job
        self._log = log
        self._recorders = [
            _recorder(name, job, network, _need(programs), directory) for name in sorted(job["collectors"])
        ]
        self._switches = _switches(job)

    def start(self) -> None:
        """Start all of them; those that have a window in time wait for it."""
        for one in self._recorders:
            one.start(on=not self._switches[one.name])

    def drain(self, now_ns: int) -> None:
        """Move what the kernel has so far to the record; ``now_ns`` counts from the start of traffic."""
        for one in self._recorders:
            one.drain(now_ns)
            switches = self._switches[one.name]
            while switches and switches[0][0] <= now_ns:
                _when, on = switches.pop(0)
                self._log(f"{one.name}: {'on' if on else 'off'}")
                (one.switch_on if on else one.switch_off)()

    def stop(self, now_ns: int) -> dict[str, CollectorResult]:
        """Detach all of them and return what each recorded."""
        return {name: result for one in self._recorders for name, result in one.stop(now_ns).items()}


def _recorder(name: str, job: Job, network: Network, programs: Programs, directory: Path) -> Recorder:
    options = job["collectors"][name]
    if options.get("ends") == "senders" and any(flow["initiator"] == "destination" for flow in job["flows"]):
        # In reverse mode the sender is at the server's port: by its port alone, it cannot be told from receivers.
        options = {**options, "ends": "both"}
    nodes = {node["name"] for node in job["nodes"]}
    # Only drops are recorded of whatever is dropped: a queue counts other packets than the flows', too.
    ports = [0, 65535] if name == "drops" else [flow["port"] for flow in job["flows"]]

    def resolve(host: str) -> str:
        return network.address_of(host) if host in nodes else host

    chosen = settings(name, options, (min(ports), max(ports)), resolve)
    return recorder(name, programs, directory, chosen, options.get("interval") or 0)


def _switches(job: Job) -> dict[str, list[tuple[int, bool]]]:
    """Collector → when it is switched on and off again, for those that do not run all the time."""
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
        raise ValueError("collectors were asked for, but no BPF loader is there")
    return programs
