# SPDX-License-Identifier: Apache-2.0
"""Run an experiment again and again with ``lab run``, each time under another condition, and compare the records.

``make nightly`` runs this for both engines with virtual time.  The exit status is 1 if any two runs differ.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.disturbances import busy, stopped_and_continued
from lab.engine.tethered import tethered

LIMIT_S = 600.0

ALGORITHMS = ("cubic", "bbr")
"""The congestion-control algorithms of the experiment; each has a trial of its own."""

EXPERIMENT = """\
name: conditions
topology:
  kind: dumbbell
  bottleneck: {{rate: 10mbit, delay: 5ms, loss: 0.5%}}
flows:
  bulk: {{from: s1, to: d1}}
duration: 1s
matrix:
  flows.bulk.cc: [{algorithms}]
report: {{defaults: false}}
"""


@dataclass(frozen=True)
class Condition:
    """How ``lab run`` is started, and what goes on meanwhile."""

    prefix: tuple[str, ...] = ()
    """The beginning of the command line."""
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "plain"
    """The name of the current folder."""
    during: Callable[[int], contextlib.AbstractContextManager[None]] = lambda _pid: contextlib.nullcontext()
    """What goes on while it runs; the argument is the id of its process."""


def conditions() -> Iterator[tuple[str, Condition]]:
    """Yield name and condition, again and again; details are chosen by chance each time."""
    processors = sorted(os.sched_getaffinity(0))
    while True:
        yield "as it is", Condition()
        yield "four busy loops", Condition(during=busy)
        yield "pinned to one processor", Condition(("taskset", "--cpu-list", str(random.choice(processors))))
        yield "stopped and continued all the time", Condition(during=stopped_and_continued)
        chatter = {f"X{number}": "y" * random.randrange(300) for number in range(random.randrange(1, 100))}
        aslr = () if random.random() < 0.5 else ("setarch", "--addr-no-randomize")
        yield (
            "another environment, folder and layout of memory",
            Condition(aslr, chatter, "z" * random.randrange(1, 60)),
        )


def replays(engine: str, times: int, said: Callable[[str, str], None]) -> None:
    """Run the experiment under *times* conditions; ``said`` is called with each condition and the digest of the run."""
    for _number, (name, condition) in zip(range(times), conditions(), strict=False):
        said(name, replay(engine, condition))


def replay(engine: str, condition: Condition, algorithms: Sequence[str] = ALGORITHMS) -> str:
    """Return the digest of all records of a run under *condition*."""
    with tempfile.TemporaryDirectory(prefix="lab-conditions-") as scratch:
        folder = Path(scratch, condition.folder)
        folder.mkdir()
        (folder / "conditions.yaml").write_text(EXPERIMENT.format(algorithms=", ".join(algorithms)), encoding="utf-8")
        lab = str(Path(sys.executable).with_name("lab"))
        command = [*condition.prefix, lab, "run", "conditions.yaml", "--no-cache", "--quiet", "--engine", engine]
        with subprocess.Popen(
            # A run that is stopped for a moment must not stay so if this process is killed.
            tethered(command, os.getpid()),
            cwd=folder,
            env={**os.environ, **condition.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                with condition.during(process.pid):
                    printed, told = process.communicate(timeout=LIMIT_S)
            finally:
                process.kill()
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with the status {process.returncode}: {told}")
        provenance = folder / printed.splitlines()[-1] / "provenance.json"
        return str(json.loads(provenance.read_bytes())["results_digest"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("vm", "uml"), default="uml", help="[default: %(default)s]")
    parser.add_argument("--times", type=int, default=100, help="number of runs [default: %(default)s]")
    chosen: Any = parser.parse_args()
    digests: Counter[str] = Counter()
    names: set[str] = set()

    def said(name: str, digest: str) -> None:
        digests[digest] += 1
        names.add(name)
        print(f"{chosen.engine} {digest[:16]} {name}", flush=True)

    replays(chosen.engine, chosen.times, said)
    print(f"{chosen.engine}: {digests.total()} runs under {len(names)} conditions gave {len(digests)} result(s)")
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
