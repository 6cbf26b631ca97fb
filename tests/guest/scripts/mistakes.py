# SPDX-License-Identifier: Apache-2.0
"""Test script for the guest: load and register objects as the agent does, and return what is said about each."""

from __future__ import annotations

from lab.agent.algorithms.errors import AlgorithmError
from lab.agent.algorithms.registered import RegisteredAlgorithm
from lab.agent.congestion import load_congestion_control
from lab.job.protocol import Algorithm


def main(asked: dict[str, Algorithm]) -> dict[str, str]:
    """Return for each algorithm the error with everything that was said; an empty text if it was registered."""
    # The functions of the kernel's own algorithms can be called only if their modules are loaded.
    load_congestion_control({"cubic", "bbr"})
    said = {}
    for name, algorithm in asked.items():
        try:
            RegisteredAlgorithm(algorithm).close()
            said[name] = ""
        except AlgorithmError as error:
            said[name] = f"{error}\n{error.said}"
    return said
