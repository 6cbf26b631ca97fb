# SPDX-License-Identifier: Apache-2.0
"""Register the congestion controls that a job brings."""

from __future__ import annotations

import contextlib

from lab.agent.algorithms.module import load_module
from lab.agent.algorithms.registered import RegisteredAlgorithm
from lab.agent.congestion import WITH_KFUNCS, load_if_available
from lab.job.protocol import Job


def register_all(job: Job, stack: contextlib.ExitStack) -> list[RegisteredAlgorithm]:
    """Register the congestion controls that the job brings; *stack* removes those that are BPF objects again.

    Returns the latter, whose values can be recorded.  A module stays, because what it does when it is removed is up to
    its author.

    Raises:
        AlgorithmError: The kernel does not accept one of them.
    """
    registered: list[RegisteredAlgorithm] = []
    if "algorithms" not in job:
        return registered
    load_if_available(WITH_KFUNCS)
    for algorithm in job["algorithms"]:
        if algorithm.get("form") == "module":
            load_module(algorithm)
            continue
        one = RegisteredAlgorithm(algorithm)
        stack.callback(one.close)
        registered.append(one)
    return registered
