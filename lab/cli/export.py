# SPDX-License-Identifier: Apache-2.0
"""A run's traces in other tools' formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.errors import InputError
from lab.job.tcpprobe import COLUMNS, tcpprobe_line
from lab.store.files import write_file
from lab.store.run import open_run
from lab.store.trial import TrialResult


def export_tcpprobe(run_dir: Path, output: Path, trials: Sequence[str]) -> list[Path]:
    """Write the sender's rows of every flow of the chosen trials (none chosen: of all), one file each.

    Raises:
        InputError: There is no such trial, or a trial recorded no ``probe``.
    """
    run = open_run(run_dir)
    finished = sorted(trial.id for trial in run.trials() if trial.ok)
    unknown = sorted(set(trials) - set(finished))
    if unknown:
        raise InputError(f"{run_dir} has no finished trial {', '.join(unknown)}; it has: {', '.join(finished)}")
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
        raise InputError(f"trial {trial.id} recorded no probe")
    table = trial.collected("tcp_probe", [*COLUMNS, "flow", "end", "is_transmit"])
    lines: dict[str, list[str]] = {}
    for row in table.to_pylist():
        if row["flow"] is not None and row["end"] == "source" and row["is_transmit"] == "receive":
            lines.setdefault(row["flow"], []).append(tcpprobe_line(row))
    yield from sorted(lines.items())
