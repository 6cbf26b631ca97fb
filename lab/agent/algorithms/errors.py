# SPDX-License-Identifier: Apache-2.0
"""The error of an algorithm that the kernel does not accept."""

from __future__ import annotations


class AlgorithmError(Exception):
    """The kernel, or libbpf, refuses an algorithm of the job.

    ``said`` is everything that libbpf, the verifier or the kernel say about it.
    """

    def __init__(self, name: str, reason: str, said: str = "") -> None:
        super().__init__(f"the kernel refused the algorithm {name}: {reason}")
        self.said = said
