# SPDX-License-Identifier: Apache-2.0
"""Put figures and tables of finished runs into ``gallery.md``: ``python docs/gallery.py RESULTS_DIR``.

``RESULTS_DIR`` has a folder for each experiment, as ``lab run`` writes them.  The script replaces what is between the
markers of an experiment and leaves the text around them.  It copies the figures to ``images/gallery``.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "gallery.md"
IMAGES = HERE / "images" / "gallery"
MARKED = re.compile(r"(<!-- (figure|table|run|answer) of (\w+)(?: ([\w-]+))? -->\n).*?(<!-- end -->)", re.DOTALL)

COLUMNS = {
    "goodput_mbps": ("goodput, Mbit/s", 2),
    "srtt_p95_ms": ("p95 smoothed RTT, ms", 1),
    "retransmits": ("retransmissions", 0),
    "jain_index": ("Jain's index", 3),
    "fct_median_ms": ("median completion, ms", 0),
    "fct_p95_ms": ("p95 completion, ms", 0),
}


def main(results: Path) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)

    def made(match: re.Match[str]) -> str:
        head, kind, experiment, name, end = match.groups()
        run = (results / experiment / "latest").resolve()
        if not (run / "report" / "index.html").exists():
            print(
                f"{results} has no finished run of {experiment}: its part of the page stays as it is", file=sys.stderr
            )
            return match[0]
        text = {"figure": figure, "table": table, "run": about, "answer": answer}[kind](run, experiment, name)
        return head + text + end

    PAGE.write_text(MARKED.sub(made, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def figure(run: Path, experiment: str, name: str) -> str:
    target = IMAGES / f"{experiment}-{name}.png"
    shutil.copyfile(run / "report" / "figures" / f"{name}.png", target)
    return f"![{experiment}: {name.replace('-', ' ')}]({target.relative_to(HERE)})\n"


def table(run: Path, _experiment: str, _name: str) -> str:
    """Return the means of the results as a table, without the columns that have no values."""
    with open(run / "report" / "tables" / "results.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])
    axes = names[: names.index("group")]
    several = len({row["group"] for row in rows}) > 1
    where = [*axes, *(["group"] if several else []), "congestion_control"]
    shown = {key: value for key, value in COLUMNS.items() if any(row.get(f"{key}_mean") for row in rows)}
    lines = [
        "| " + " | ".join([*where, *(title for title, _digits in shown.values())]) + " |",
        "|" + "---|" * len(where) + "---:|" * len(shown),
    ]
    for row in rows:
        cells = [row[name] for name in where]
        cells += [_mean(row, key, digits) for key, (_title, digits) in shown.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("congestion_control", "flows") + "\n"


def _mean(row: dict[str, str], key: str, digits: int) -> str:
    mean, low, high = (row[f"{key}_{part}"] for part in ("mean", "ci95_low", "ci95_high"))
    if not mean:
        return "–"
    text = f"{float(mean):.{digits}f}"
    # The interval of two repetitions is twelve times as wide as their spread, and says nothing.
    shown = low and high and int(row["n"]) > 2 and float(high) - float(low) >= 10**-digits
    return f"{text} ({float(low):.{digits}f}–{float(high):.{digits}f})" if shown else text


def about(run: Path, experiment: str, _name: str) -> str:
    """Return the command of the run and its number of trials."""
    provenance: dict[str, Any] = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    options = "".join(f" --set {text}" for text in provenance["overrides"]).replace("--set engine=", "--engine ")
    return f"`lab run experiments/{experiment}.yaml{options}`: {len(provenance['trials'])} trials\n"


def answer(run: Path, _experiment: str, _name: str) -> str:
    """Return what the report says first."""
    document: dict[str, Any] = json.loads((run / "report" / "answer.json").read_text(encoding="utf-8"))
    return "".join(f"> - {sentence}\n" for sentence in document["sentences"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
