# SPDX-License-Identifier: Apache-2.0
"""Go on with the other measurements when one fails, and show the progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable

from benchmarks.ns3.slope import Slope
from lab.errors import LabError


async def attempted(label: str, measurement: Awaitable[Slope]) -> list[Slope]:
    """Return the result of *measurement*, or nothing if it fails; show its label, and what became of it."""
    print(f"{label}: ", end="", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        slope = await measurement
    except (LabError, RuntimeError) as exc:
        print(f"failed: {exc}", file=sys.stderr, flush=True)
        return []
    print(
        f"{1 / slope.cpu_s_per_s:.3g} virtual s per CPU s ({time.monotonic() - began:.1f} s)",
        file=sys.stderr,
        flush=True,
    )
    return [slope]
