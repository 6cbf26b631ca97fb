# SPDX-License-Identifier: Apache-2.0
"""The results as a JSON document, and those that are stored in the repository.

The stored results stand in for ns-3 where it cannot be installed.  They come from another machine, which they describe.
"""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.ns3.program import Ns3
from benchmarks.ns3.slope import Slope

STORED = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Machine:
    """The machine on which something was measured, and when."""

    when: str
    cpu: str
    cores: int
    memory_gib: float
    host_kernel: str

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} cores, {self.memory_gib} GiB; Linux {self.host_kernel}; {self.when[:10]}"


@dataclass(frozen=True)
class Results:
    """All measurements of one call of the benchmark."""

    machine: Machine
    algorithm: str
    reference: str
    """The simulator with which the engines are compared: the fastest build of ns-3."""
    rounds: int
    builds: list[dict[str, str]] = field(default_factory=list)
    """The builds of ns-3: their name, version, description and, if it was another one, the machine."""
    speed: list[Slope] = field(default_factory=list)
    packets: list[Slope] = field(default_factory=list)
    disturbance: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the document, with one line for each measurement."""
        parts = []
        for key, value in asdict(self).items():
            if key in ("speed", "packets"):
                rows = ",\n  ".join(json.dumps({name: _rounded(cell) for name, cell in row.items()}) for row in value)
                parts.append(f'"{key}": [\n  {rows}\n ]')
            else:
                parts.append(f'"{key}": {json.dumps(value)}')
        return "{\n " + ",\n ".join(parts) + "\n}\n"

    def with_stored(self, stored: Results) -> Results:
        """Return these results with the stored ones of ns-3, under a name that tells where they come from."""
        name = f"{stored.reference} (stored)"
        kept = [
            [replace(slope, simulator=name) for slope in slopes if slope.simulator == stored.reference]
            for slopes in (stored.speed, stored.packets)
        ]
        builds = [
            {**build, "name": name, "machine": str(stored.machine)}
            for build in stored.builds
            if build["name"] == stored.reference
        ]
        return replace(
            self, reference=name, builds=builds, speed=[*kept[0], *self.speed], packets=[*kept[1], *self.packets]
        )


def this_machine() -> Machine:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return Machine(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=found[1] if found else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        # Whatever follows the version is a name that somebody gave the kernel.
        host_kernel=platform.release().partition("-")[0],
    )


def described(build: Ns3) -> dict[str, str]:
    return {"name": build.name, "version": build.version, "description": build.description}


def stored_results() -> Results:
    """Return the results that are stored in the repository."""
    document: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return Results(
        machine=Machine(**document["machine"]),
        algorithm=document["algorithm"],
        reference=document["reference"],
        rounds=document["rounds"],
        builds=document["builds"],
        speed=[_slope(row) for row in document["speed"]],
        packets=[_slope(row) for row in document["packets"]],
        disturbance=document["disturbance"],
    )


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _slope(row: dict[str, Any]) -> Slope:
    short, long = row["durations_s"]
    return Slope(**{**row, "durations_s": (short, long)})
