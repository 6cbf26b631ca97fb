# SPDX-License-Identifier: Apache-2.0
"""Export a run: choose its trials, check that they have what a format needs, and write the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lab.errors import InputError
from lab.export import FORMATS, csv, flent, pcap, tcpprobe
from lab.store.files import write_file, writing
from lab.store.run import Run
from lab.store.trial import TrialResult

File = tuple[str, bytes]
"""The name of a file, and its content."""

_OF_A_TRIAL: dict[str, tuple[Callable[[TrialResult], None], Callable[[Run, TrialResult], Iterable[File]]]] = {
    "tcpprobe": (tcpprobe.require, tcpprobe.files),
    "pcap": (pcap.require, pcap.files),
    "flent": (flent.require, flent.files),
}
"""Format → what raises an error if a trial lacks something that the format needs, and what makes its files."""


def export(run: Run, name: str, folder: Path, trials: Sequence[str] = (), collectors: Sequence[str] = ()) -> list[Path]:
    """Write the given trials, or else all finished ones, in the format *name*; return the paths of the files.

    Each file appears complete or not at all, and if anything is wrong with the input, none is written.  *collectors*
    are those whose tables become CSV files; without any, all of them.

    Raises:
        InputError: There is no such format, trial or collector, or a trial lacks what the format needs.
        StoreError: A file of the run is damaged, or a file cannot be written.
    """
    if name not in FORMATS:
        raise InputError(f"found the format {name!r}; expected one of {', '.join(FORMATS)}")
    if collectors and name != "csv":
        raise InputError(f"found the format {name} and a choice of collectors, which is for csv only")
    chosen = _chosen(run, trials)
    if name == "csv":
        csv.require(chosen, collectors)
        return list(_written(folder, csv.files(run, chosen, collectors, with_metrics=not trials and not collectors)))
    require, files = _OF_A_TRIAL[name]
    for trial in chosen:
        require(trial)
    return list(_written(folder, (file for trial in chosen for file in files(run, trial))))


def _chosen(run: Run, trials: Sequence[str]) -> list[TrialResult]:
    """Return the trials named *trials*, or else all finished ones."""
    finished = {trial.id: trial for trial in run.trials() if trial.ok}
    if not finished:
        raise InputError(f"{run.path} has no finished trial, so there is nothing to export")
    unknown = [name for name in trials if name not in finished]
    if unknown:
        raise InputError(
            f"{run.path} has no finished trial {', '.join(unknown)}; expected one of {', '.join(sorted(finished))}"
        )
    return [finished[name] for name in dict.fromkeys(trials)] if trials else list(finished.values())


def _written(folder: Path, files: Iterable[File]) -> Iterator[Path]:
    for name, content in files:
        path = folder / name
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
        yield path
