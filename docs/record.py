# SPDX-License-Identifier: Apache-2.0
"""Run the tutorial and put its output and figures into the pages: ``python docs/record.py``.

The files that the tutorial asks its readers to save are taken from the page itself.  Everything runs in a temporary
folder that has this checkout's ``.venv``, ``lab`` and ``experiments``; it takes a few minutes and needs no root.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from lab.store.folders import scratch_folder

DOCS = Path(__file__).parent
CHECKOUT = DOCS.parent
IMAGES = DOCS / "images" / "tutorial"
SAVED = re.compile(r"[Ss]ave this as `([\w.]+)`:\n\n```\w*\n(.*?)```", re.DOTALL)
SCRIPT = re.compile(r"```python\n(import pandas.*?)```", re.DOTALL)
OUTPUT = re.compile(r"<!-- output of (.+?) -->\n(?:```\n.*?```\n<!-- end -->\n)?", re.DOTALL)
PICTURE = re.compile(r"<!-- picture of (\w+): ([\w-]+) -->\n(?:!\[.*?\n<!-- end -->\n)?", re.DOTALL)
COLOURS = 64
"""A line drawing needs no more, and takes a third of the bytes."""

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


def main() -> None:
    with scratch_folder("record", print) as folder:
        work = Path(folder)
        for name in (".venv", "lab", "bpf", "experiments"):
            (work / name).symlink_to(CHECKOUT / name)
        for page in (CHECKOUT / "README.md", DOCS / "getting-started.md", DOCS / "tutorial.md"):
            text = page.read_text(encoding="utf-8")
            for name, content in SAVED.findall(text):
                (work / name).write_text(content, encoding="utf-8")
            for content in SCRIPT.findall(text):
                (work / "metrics.py").write_text(content, encoding="utf-8")
            text = OUTPUT.sub(_recorded(work), text)
            text = PICTURE.sub(_pictured(work), text)
            page.write_text(text, encoding="utf-8")


def _recorded(work: Path) -> Callable[[re.Match[str]], str]:
    def replace(marker: re.Match[str]) -> str:
        key = marker[1]
        if key not in COMMANDS:
            return marker[0]
        command, last = COMMANDS[key]
        print(f"$ {command}", flush=True)
        done = subprocess.run(
            ["bash", "-c", command], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        lines = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
        shown = lines if last is None or len(lines) <= last else ["…", *lines[-last:]]
        return "\n".join([f"<!-- output of {key} -->", "```", *shown, "```", "<!-- end -->", ""])

    return replace


def _pictured(work: Path) -> Callable[[re.Match[str]], str]:
    def replace(marker: re.Match[str]) -> str:
        experiment, figure = marker[1], marker[2]
        source = work / "results" / experiment / "latest" / "report" / "figures" / f"{figure}.png"
        IMAGES.mkdir(parents=True, exist_ok=True)
        picture = Image.open(source).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        picture.save(IMAGES / f"{experiment}-{figure}.png", optimize=True)
        place = f"images/tutorial/{experiment}-{figure}.png"
        return f"<!-- picture of {experiment}: {figure} -->\n![{CAPTIONS[figure]}]({place})\n<!-- end -->\n"

    return replace


if __name__ == "__main__":
    main()
