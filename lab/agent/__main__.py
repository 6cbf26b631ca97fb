# SPDX-License-Identifier: Apache-2.0
"""``python3 -m lab.agent JOB.json DIRECTORY``: run one job on this kernel, as root.

The record of the trial is written to DIRECTORY.  While traffic runs, the program prints the time since the start of
traffic, in nanoseconds, at least once a second.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lab.agent.collectors.bcc_loader import BccPrograms
from lab.agent.collectors.registry import ALWAYS
from lab.agent.trial import run_trial
from lab.job.bpf_sources import BPF_SOURCES


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    directory = Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    programs = BccPrograms(BPF_SOURCES, [*ALWAYS, *sorted(job["collectors"])])
    record = run_trial(job, programs, directory, lambda now_ns: print(now_ns, flush=True), engine="native")
    return 0 if record["status"] == "ok" else 3


if __name__ == "__main__":
    sys.exit(main())
