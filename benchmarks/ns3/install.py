# SPDX-License-Identifier: Apache-2.0
"""Install ns-3 in lab's cache, in the two ways in which it is to be had here."""

from __future__ import annotations

from benchmarks.ns3.program import InstallError, Ns3, Step
from benchmarks.ns3.source_build import install_from_source
from benchmarks.ns3.wheel import install_wheel
from lab.store import places

__all__ = ["Ns3", "install"]


def install(step: Step) -> list[Ns3]:
    """Return the builds of ns-3 that this machine has or can make, the fastest first."""
    builds = []
    with places.builder_lock("ns3"):
        for attempt in (install_from_source, install_wheel):
            try:
                builds.append(attempt(step))
            except InstallError as exc:
                step(f"{attempt.__name__}: {exc}")
    return builds
