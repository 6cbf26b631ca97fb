# SPDX-License-Identifier: Apache-2.0
"""Test script for the guest: load and register objects as the agent does, and return what is said about each."""

from __future__ import annotations

from lab.agent.algorithms.registered import AlgorithmError, RegisteredAlgorithm
from lab.agent.congestion import load_congestion_control
from lab.job.protocol import Algorithm


def main(asked: list[Algorithm]) -> dict[str, str]:
    """Return for each algorithm the error with everything that was said; an empty text if it was registered."""
    # The functions of the kernel's own algorithms can be called only if their modules are loaded.
    load_congestion_control({"cubic", "bbr"})
    said = {}
    for algorithm in asked:
        try:
            RegisteredAlgorithm(algorithm).close()
            said[algorithm["name"]] = ""
        except AlgorithmError as error:
            said[algorithm["name"]] = f"{error}\n{error.said}"
    return said
