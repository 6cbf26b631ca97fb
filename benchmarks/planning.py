# SPDX-License-Identifier: Apache-2.0
"""How much time and memory a plan of many cells takes: ``python -m benchmarks.planning [CELLS]``, up to 10 000."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.cli.common import planned
from lab.plan.description import describe
from lab.plan.preview import preview
from lab.store.run import create_run

_T = TypeVar("_T")

EXPERIMENT = """
name: planning
topology:
  kind: dumbbell
  bottleneck: {{rate: 100mbit, delay: 25ms, queue: {{discipline: bfifo, limit: 1bdp}}}}
flows:
  bulk: {{from: s1, to: d1}}
duration: 10s
matrix:
  flows.bulk.cc: [cubic, bbr]
  topology.bottleneck.delay: [{delays}]
  topology.bottleneck.queue.limit: [{limits}]
"""


def timed(what: str, step: Callable[[], _T]) -> _T:
    """Carry out *step*, and print its processor time and the most memory that the process has had so far."""
    began = time.process_time()
    result = step()
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<10} {time.process_time() - began:6.2f} s {memory_mib:6.0f} MiB")
    return result


def main(cells: int) -> None:
    """Plan an experiment of about *cells* cells, describe it, and store it."""
    delays = ", ".join(f"{20 + number}ms" for number in range(max(1, cells // 100)))
    limits = ", ".join(f"{0.5 + number / 10:g}bdp" for number in range(50))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "planning.yaml")
        file.write_text(EXPERIMENT.format(delays=delays, limits=limits), encoding="utf-8")
        loaded, plan = timed("plan", lambda: planned(file, []))
        timed("describe", lambda: describe(plan))
        timed("preview", lambda: preview(plan, 2))
        timed("store", lambda: create_run(Path(folder), plan.name, loaded.text, plan.document()))
        print(f"{len(plan.cells)} cells")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
