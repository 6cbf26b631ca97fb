# SPDX-License-Identifier: Apache-2.0
"""The commands whose output stands in the pages, in the order in which the pages need them."""

from __future__ import annotations

__all__ = ["CAPTIONS", "COMMANDS"]

LAB = ".venv/bin/lab"
SLOW = "--set topology.bottleneck.rate=4mbit --set name=uplink_slow"
TABLE = 19
"""How many lines a table of results has, with the answer above it and the paths below it."""
REFERENCE = "assignments/aimd/teacher/reference"
HANDED_IN = "; ".join(
    (
        "mkdir -p submissions/ada submissions/ben submissions/cleo submissions/dan",
        f"cp {REFERENCE}/* submissions/ada",
        "cp assignments/aimd/my_cc.bpf.c submissions/ben",
        f"sed 's/cwnd++;/cwnd++/' {REFERENCE}/my_cc.bpf.c >submissions/cleo/my_cc.bpf.c",
        f"sed 's/acked/counted/g; s/\\bown\\b/mine/g' {REFERENCE}/my_cc.bpf.c >submissions/dan/my_cc.bpf.c",
    )
)
"""What makes the submissions of four students."""


def _changed(change: str, command: str) -> str:
    """Return a command that runs ``lab`` with *change*, a command of sed, made to my_cc.bpf.c for the time of it."""
    return f"cp my_cc.bpf.c kept.c; sed -i '{change}' my_cc.bpf.c; {LAB} {command}; cp kept.c my_cc.bpf.c"


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
    "cat my_cc.yaml": (f"{LAB} new --cc my_cc.bpf.c >/dev/null 2>&1; cat my_cc.yaml", None),
    "lab run my_cc.yaml: the last lines": (f"{LAB} run my_cc.yaml", TABLE),
    "lab run my_cc.yaml with a gentle decrease: the last lines": (
        _changed("s#snd_cwnd / 2, 2#snd_cwnd * 7 / 8, 2#", "run my_cc.yaml --set name=gentle"),
        TABLE,
    ),
    "lab check my_cc.yaml without a semicolon": (
        _changed("s/own->acked -= cwnd;/own->acked -= cwnd/", "check my_cc.yaml"),
        None,
    ),
    "lab run my_cc.yaml with an endless loop": (
        _changed("s/if (own->acked >= cwnd)/while (own->acked >= cwnd)/", "run my_cc.yaml --quiet --set name=endless"),
        None,
    ),
    "lab run my_cc.yaml with two values": (
        _changed(
            r's/\(\tlab_trace(sk, "acked".*\)/\1\n\tlab_trace(sk, "threshold", min(tp->snd_ssthresh, 1000));/',
            "run my_cc.yaml --quiet --set name=traced",
        ),
        1,
    ),
    "lab grade . . in aimd, without the teacher's folder": (
        "mkdir handed_out; cp -r assignments/aimd handed_out; rm -r handed_out/aimd/teacher; "
        f"cd handed_out/aimd; ../../{LAB} grade . .",
        None,
    ),
    "lab grade assignments/aimd": (f"{LAB} grade assignments/aimd", None),
    "lab grade assignments/aimd submissions": (f"{HANDED_IN}; {LAB} grade assignments/aimd submissions", 24),
}
"""What stands in a page's marker → the shell command, and how many of its last lines are shown; None: all."""

CAPTIONS = {
    "latency": "Distributions of the latency that the probe measured, one line for each cell",
    "cwnd": "Congestion window over time, a panel for each cell",
    "own-values": "The values that lab_trace has recorded over time, a panel for each of them",
}
