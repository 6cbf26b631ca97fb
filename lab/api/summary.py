# SPDX-License-Identifier: Apache-2.0
"""What can be said of stored runs at a glance: their state and how many trials have which verdict."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import InputError, LabError
from lab.store.files import TEMPORARY_PREFIX
from lab.store.folders import finished_folders
from lab.store.owner import Judgement, judge
from lab.store.run import LATEST, Run, open_run

if TYPE_CHECKING:
    import polars as pl

_RUN_ID = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[0-9a-f]{6}")
_STARTED = "%Y-%m-%d %H:%M:%S"
_PARTS = ("experiment.yaml", "plan.json", "trials")

COUNTED = ("ok", "warn", "invalid", "failed", "unjudged", "missing")
"""What a trial of a plan may be.

``ok``, ``warn`` and ``invalid`` are verdicts; ``failed``: the trial was not carried out to its end; ``unjudged``: the
checks of a finished trial have not been made yet; ``missing``: the trial has not been run.
"""


@dataclass(frozen=True)
class RunSummary:
    """A stored run, or a folder that should be one."""

    path: Path
    experiment: str
    run: str
    """The id of the run."""
    started: str
    """When the run began, in UTC: ``2026-11-27 00:10:18``; empty if the name of its folder does not say."""
    state: str
    """``complete``, ``failed`` (trials failed, or the run broke off), ``interrupted`` (by the user), ``running``,
    ``unfinished`` (it was killed, or nobody can tell whether it still runs) or ``broken``."""
    engine: str = ""
    trials: dict[str, int] = field(default_factory=dict)
    """Each of :data:`COUNTED` → the number of trials; empty for a broken folder."""
    problem: str = ""
    """Why the folder is broken."""

    def document(self) -> dict[str, Any]:
        """Return the summary as plain values, for JSON."""
        return {**asdict(self), "path": str(self.path)}


def runs(folder: str | Path = "results") -> pl.DataFrame:
    """Return the runs in *folder*, the oldest first: one row for each.

    The columns are those of :class:`RunSummary`, with the numbers of trials in columns of their own
    (:data:`COUNTED`), which are null for broken folders.

    Raises:
        InputError: There is no such folder, or it cannot be read.
    """
    import polars as pl

    texts = ("experiment", "run", "started", "state", "engine")
    schema: dict[str, Any] = dict.fromkeys(texts, pl.String) | dict.fromkeys(COUNTED, pl.Int64)
    rows = [
        {name: getattr(found, name) for name in texts}
        | {name: found.trials.get(name) for name in COUNTED}
        | {"path": str(found.path), "problem": found.problem}
        for found in summaries(Path(folder))
    ]
    found = pl.DataFrame(rows, schema=schema | {"path": pl.String, "problem": pl.String})
    return found.with_columns(pl.col("started").str.to_datetime(_STARTED, strict=False, time_zone="UTC"))


def summaries(folder: Path) -> list[RunSummary]:
    """Return the runs in *folder* and in the folders in it, the oldest first.

    *folder* may be the folder of all results, that of one experiment, or that of a run.  A folder that looks like a run
    but cannot be read is among them, with the state ``broken``.

    Raises:
        InputError: There is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    try:
        found = [summary_of_folder(path) for path in _run_folders(folder)]
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    return sorted(found, key=lambda summary: (summary.started, summary.experiment, summary.run))


def _run_folders(folder: Path) -> Iterator[Path]:
    if _looks_like_a_run(folder):
        yield folder
        return
    for child in _folders(folder):
        if _looks_like_a_run(child):
            yield child
            continue
        try:
            yield from filter(_looks_like_a_run, _folders(child))
        except OSError:
            yield child  # What keeps it from being read is said of it, and does not stop the list.


def _folders(parent: Path) -> list[Path]:
    # The links to the latest runs lead to folders that are in the list already.
    return [path for path in finished_folders(parent) if path.name != LATEST or not path.is_symlink()]


def _looks_like_a_run(path: Path) -> bool:
    return bool(_RUN_ID.fullmatch(path.name)) or any((path / part).exists() for part in _PARTS[1:])


def summary_of_folder(path: Path) -> RunSummary:
    """Return the summary of the run in the folder *path*; its state is ``broken`` if it cannot be read."""
    try:
        return summary_of(open_run(path))
    except (LabError, OSError) as error:
        where = path.resolve()
        return RunSummary(path, where.parent.name, where.name, _started(where.name), "broken", problem=str(error))


def summary_of(run: Run) -> RunSummary:
    """Return the summary of a run.

    Raises:
        StoreError: A file of the run is damaged.
    """
    about = run.provenance
    engine = str(about.get("engine") or run.plan.get("engine") or "")
    return RunSummary(run.path, run.experiment, run.id, _started(run.id), state_of(run), engine, counts_of(run))


def state_of(run: Run) -> str:
    """Return the state of a run, as :attr:`RunSummary.state` describes it.

    Raises:
        StoreError: The provenance of the run is damaged.
    """
    # The provenance is written when the run ends.
    if status := run.provenance.get("status"):
        return str(status)
    owners = [path.name.removeprefix(TEMPORARY_PREFIX) for path in run.path.glob(f"{TEMPORARY_PREFIX}*")]
    return "running" if any(judge(owner) is Judgement.RUNS for owner in owners) else "unfinished"


def counts_of(run: Run) -> dict[str, int]:
    """Return how many trials of a run are what: each of :data:`COUNTED` → a number.

    Raises:
        StoreError: A file of a trial is damaged.
    """
    counted: Counter[str] = Counter()
    stored = set()
    for trial in run.trials():
        stored.add(trial.id)
        counted[verdict_of(trial.validity) if trial.ok else "failed"] += 1
    counted["missing"] = len(set(run.planned_ids()) - stored)
    return {name: counted[name] for name in COUNTED}


def verdict_of(checks: list[dict[str, Any]] | None) -> str:
    """Return the worst verdict of a trial's stored *checks*; ``unjudged`` without checks."""
    if checks is None:
        return "unjudged"
    verdicts = {check["verdict"] for check in checks}
    return next((verdict for verdict in ("invalid", "warn") if verdict in verdicts), "ok")


def _started(run_id: str) -> str:
    found = _RUN_ID.fullmatch(run_id)
    return "{}-{}-{} {}:{}:{}".format(*found.groups()) if found else ""
