# SPDX-License-Identifier: Apache-2.0
"""The commands whose output stands in the pages, in the order in which the pages need them."""

from __future__ import annotations

__all__ = ["CAPTIONS", "COMMANDS"]

LAB = ".venv/bin/lab"
SLOW = "--set topology.bottleneck.rate=4mbit --set name=uplink_slow"
COMMANDS: dict[str, tuple[str, int | None]] = {
    "lab doctor, virtual machines": (f"{LAB} doctor | sed -n '/^virtual/,/^native/p' | head -n -1", None),
    "lab check uplink.yaml": (f"{LAB} check uplink.yaml", None),
    "lab check uplink.yaml with the rate 10mb": (
        f"sed -i 's/10mbit/10mb/' uplink.yaml; {LAB} check uplink.yaml; sed -i 's/10mb$/10mbit/' uplink.yaml",
        None,
    ),
    "lab run uplink.yaml: the last lines": (f"{LAB} run uplink.yaml", 52),
    "python uplink.py": (".venv/bin/python uplink.py", None),
    "lab run uplink.yaml at 4 Mbit/s: the last lines": (f"{LAB} run uplink.yaml {SLOW}", 3),
    "python uplink.py for uplink_slow": (
        "sed 's#results/uplink/#results/uplink_slow/#' uplink.py > slow.py; .venv/bin/python slow.py",
        None,
    ),
    "the metrics of my_first": (f"{LAB} run my_first.yaml >/dev/null 2>&1; .venv/bin/python metrics.py", None),
    "lab verify results/uplink/latest --trials 2": (f"{LAB} verify results/uplink/latest --trials 2", 3),
}
"""What stands in a page's marker → the shell command, and how many of its last lines are shown; None: all."""

CAPTIONS = {
    "latency": "Distributions of the latency that the probe measured, one line for each cell",
    "cwnd": "Congestion window over time, a panel for each cell",
}
