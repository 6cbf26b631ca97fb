# SPDX-License-Identifier: Apache-2.0
"""The memory of the machines in which trials run, and how much of it the sockets of a trial may hold.

This module is copied into the guest.
"""

from __future__ import annotations

MEMORY_MIB = {"vm": 2048, "uml": 4096}
"""Name of an engine → the memory of its guest in MiB.

The host provides only the pages that the guest uses.
"""

_SOCKETS_SHARE = 0.5


def socket_memory_bytes(engine: str) -> int | None:
    """Return how much memory all sockets of a trial may hold together, in bytes.

    None for the native engine, with which the host's own limits hold.
    """
    return int(MEMORY_MIB[engine] * 2**20 * _SOCKETS_SHARE) if engine in MEMORY_MIB else None
