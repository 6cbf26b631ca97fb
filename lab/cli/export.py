# SPDX-License-Identifier: Apache-2.0
"""Export what a run recorded in the formats of other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.errors import InputError
from lab.job.tcpprobe import COLUMNS, tcpprobe_line
from lab.store.files import write_file
from lab.store.run import open_run
from lab.store.trial import TrialResult


def export_tcpprobe(run_dir: Path, output: Path, trials: Sequence[str]) -> list[Path]:
    """Write one file for each flow of the given trials, with the rows of its sender; return the paths of the files.

    If ``trials`` is empty, all finished trials are exported.

    Raises:
        InputError: There is no such trial, or a trial ran without the collector ``tcp_probe``.
    """
    run = open_run(run_dir)
    finished = sorted(trial.id for trial in run.trials() if trial.ok)
    unknown = sorted(set(trials) - set(finished))
    if unknown:
        raise InputError(f"{run_dir} has no finished trial {', '.join(unknown)}; expected one of {', '.join(finished)}")
    written = []
    for trial_id in trials or finished:
        for flow, lines in _flows(run.trial(trial_id)):
            output.mkdir(parents=True, exist_ok=True)
            path = output / f"{trial_id}.{flow}.tcpprobe"
            write_file(path, "".join(f"{line}\n" for line in lines).encode("ascii"))
            written.append(path)
    return written


def _flows(trial: TrialResult) -> Iterator[tuple[str, list[str]]]:
    if "tcp_probe" not in trial.record["collectors"]:
        raise InputError(f"trial {trial.id} ran without the collector tcp_probe, so there is nothing to export")
    table = trial.collected("tcp_probe", [*COLUMNS, "flow", "end", "is_transmit"])
    lines: dict[str, list[str]] = {}
    for row in table.to_pylist():
        if row["flow"] is not None and row["end"] == "source" and row["is_transmit"] == "receive":
            lines.setdefault(row["flow"], []).append(tcpprobe_line(row))
    yield from sorted(lines.items())
