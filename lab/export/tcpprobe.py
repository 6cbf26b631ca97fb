# SPDX-License-Identifier: Apache-2.0
"""Export the rows of each sender's ``tcp_probe`` in the format of the kernel's former tcpprobe module."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import InputError
from lab.job.tcpprobe import COLUMNS, tcpprobe_line
from lab.store.run import Run
from lab.store.trial import TrialResult


def require(trial: TrialResult) -> None:
    """Raise an error if the trial ran without ``tcp_probe``.

    Raises:
        InputError: It did.
    """
    if "tcp_probe" not in trial.record["collectors"]:
        raise InputError(f"trial {trial.id} ran without the collector tcp_probe, so there is nothing to export")


def files(_run: Run, trial: TrialResult) -> Iterator[tuple[str, bytes]]:
    """Yield a file for each flow, with its name."""
    table = trial.collected("tcp_probe", [*COLUMNS, "flow", "end", "is_transmit"])
    lines: dict[str, list[str]] = {}
    for row in table.to_pylist():
        if row["flow"] is not None and row["end"] == "source" and row["is_transmit"] == "receive":
            lines.setdefault(row["flow"], []).append(tcpprobe_line(row))
    for flow, own in sorted(lines.items()):
        yield f"{trial.id}.{flow}.tcpprobe", "".join(f"{line}\n" for line in own).encode("ascii")
