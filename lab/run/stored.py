# SPDX-License-Identifier: Apache-2.0
"""Find what has changed in the folder of a run since its trials were stored, without running anything.

``provenance.json`` contains the digests of the run's inputs and of each ``trial.json``, which contains the digests of
the trial's other files.
What can be computed from these, ``validity.json`` and ``metrics.parquet``, is computed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from lab.errors import StoreError
from lab.evaluation.trial import EvaluatedTrial, compared_with_alone, evaluate_trial, run_metrics
from lab.plan.plan import Plan
from lab.run.runner import identity_of
from lab.store.compare import FileDifference, json_difference, table_difference
from lab.store.digest import digest_of_files, file_digests
from lab.store.files import TEMPORARY_PREFIX, read_json
from lab.store.folders import finished_folders
from lab.store.run import Run, metrics_table
from lab.store.trial import TrialResult, trial_document

TRIAL = "trial.json"
VALIDITY = "validity.json"
METRICS = "metrics.parquet"

OF_THE_RUN = "run"
"""What stands in place of a trial's id for files that belong to no trial."""

WRITTEN_ANEW = "`lab report` writes it anew"


@dataclass
class Inspection:
    """What the folder of a run contains, and what of it has changed."""

    differences: dict[str, list[FileDifference]] = field(default_factory=dict)
    """Id of a trial → its files that have changed; :data:`OF_THE_RUN` → those that belong to no trial."""
    finished: dict[str, TrialResult] = field(default_factory=dict)
    """Id → each trial that was carried out and whose ``trial.json`` can be read."""
    evaluated: dict[str, EvaluatedTrial] = field(default_factory=dict)
    """Id → the evaluation of each trial of :attr:`finished` whose files have not changed."""
    is_reported: bool = True
    """Whether the run has derived files.  A run that was interrupted has none until ``lab report`` writes them."""


def inspect(run: Run, plan: Plan) -> Inspection:
    """Compare the stored files of all trials with their digests, and ``validity.json`` with the checks computed again.

    Raises:
        StoreError: The run's own files cannot be read.
    """
    found = Inspection(is_reported=(run.path / METRICS).exists() or run.report_dir.exists())
    kept: Mapping[str, Mapping[str, Any]] = run.provenance.get("trials", {})
    planned = {trial.id: trial for trial in plan.trials}
    stored = {path.name: path for path in finished_folders(run.path / "trials")}
    for trial_id in dict.fromkeys((*planned, *stored, *kept)):
        if trial_id not in stored:
            missing = [FileDifference(TRIAL, "the trial is missing, with all of its files")] if trial_id in kept else []
        elif trial_id not in planned:
            missing = [FileDifference(TRIAL, "the trial is not in plan.json")]
        else:
            missing = _inspect_trial(found, run, plan, trial_id, kept)
        if missing:
            found.differences[trial_id] = missing
    changed = _changed(run.provenance.get("files"), run.input_digests(), "provenance.json", "the run")
    if changed:
        found.differences[OF_THE_RUN] = changed
    return found


def _inspect_trial(
    found: Inspection, run: Run, plan: Plan, trial_id: str, kept: Mapping[str, Mapping[str, Any]]
) -> list[FileDifference]:
    """Return the files of a stored and planned trial that have changed, and add the trial to *found*."""
    try:
        stored = run.trial(trial_id)
    except StoreError as error:
        return [FileDifference(TRIAL, str(error))]
    if not stored.ok:
        lost = [FileDifference(TRIAL, "the trial failed, but provenance.json contains the digest of its record")]
        return lost if trial_id in kept else []
    found.finished[trial_id] = stored
    trial = next(trial for trial in plan.trials if trial.id == trial_id)
    changed = _document_differences(stored, trial_document(identity_of(plan, trial), trial.job))
    digest = kept.get(trial_id, {}).get("trial_json_digest")
    if digest is not None and digest != stored.file_digest():
        changed = changed or ["its digest is not the one in provenance.json"]
    differences = [FileDifference(TRIAL, what) for what in changed]
    try:
        differences += _changed(stored.stored_files, stored_file_digests(stored.path), TRIAL, "this trial")
    except StoreError as error:
        differences.append(FileDifference("*", str(error)))
    if not differences:
        try:
            result = found.evaluated[trial_id] = evaluate_trial(stored, with_curves=False)
            differences += validity_differences(stored, result, found)
        except StoreError as error:
            differences.append(FileDifference("*", str(error)))
    return differences


def _document_differences(stored: TrialResult, expected: Mapping[str, Any]) -> list[str]:
    """Return how ``trial.json`` contradicts itself, or the identity and the job of the trial in the plan."""
    own = {key: stored.document.get(key) for key in expected}
    what = json_difference(own, json.loads(json.dumps(expected)))
    changed = [f"{what} by plan.json"] if what else []
    if stored.record_digest != digest_of_files(stored.record_files):
        changed.append("record_digest is not the digest of record_files")
    if stored.stored_files is None:
        changed.append("contains no digests of the trial's other files; an earlier version of lab wrote it")
    return changed


def _changed(
    expected: Mapping[str, str] | None, found: Mapping[str, str], where: str, owner: str
) -> list[FileDifference]:
    """Return the files that are missing, should not be there, or do not have their digest.

    *expected* are the digests in the file *where*, which an earlier version of ``lab`` has not stored (None).
    """
    if expected is None:
        return []
    return [
        FileDifference(name, what)
        for name in sorted(expected.keys() | found.keys())
        if (what := _digest_difference(expected.get(name), found.get(name), where, owner)) is not None
    ]


def stored_file_digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file of a stored trial, except ``trial.json`` and ``validity.json``.

    Raises:
        StoreError: A file cannot be read, or something is not a regular file.
    """
    digests = file_digests(folder)
    return {
        name: digest
        for name, digest in digests.items()
        if name not in (TRIAL, VALIDITY) and not Path(name).name.startswith(TEMPORARY_PREFIX)
    }


def _digest_difference(expected: str | None, found: str | None, where: str, owner: str) -> str | None:
    if expected == found:
        return None
    if found is None:
        return "is missing"
    return f"is not a file of {owner}" if expected is None else f"does not have its digest in {where}"


def validity_differences(stored: TrialResult, result: EvaluatedTrial, found: Inspection) -> list[FileDifference]:
    """Return how the stored ``validity.json`` differs from the checks of the evaluated trial *result*."""
    if not (stored.path / VALIDITY).exists():
        return [FileDifference(VALIDITY, f"is missing; {WRITTEN_ANEW}")] if found.is_reported else []
    try:
        what = json_difference(
            read_json(stored.path / VALIDITY), stored.validity_document([asdict(check) for check in result.checks])
        )
    except StoreError as error:
        what = str(error)
    return [] if what is None else [FileDifference(VALIDITY, f"{what}; {WRITTEN_ANEW}")]


def metrics_differences(run: Run, found: Inspection) -> dict[str, FileDifference]:
    """Return how the rows of ``metrics.parquet`` differ from those of the evaluated trials, by the trial's id.

    Differences that do not belong to a trial have the key :data:`OF_THE_RUN`.
    """
    if not found.is_reported:
        return {}
    try:
        stored = run.metrics_table()
    except StoreError as error:
        return {OF_THE_RUN: FileDifference(METRICS, f"{error}; {WRITTEN_ANEW}")}
    results = compared_with_alone(
        [found.evaluated[trial_id] for trial_id in found.finished if trial_id in found.evaluated]
    )
    differences: dict[str, FileDifference] = {}
    for result in results:
        again = metrics_table(*run_metrics(run, [result]))
        own = (
            stored.filter(pc.equal(stored.column("trial"), result.trial.id))
            if "trial" in stored.schema.names
            else stored
        )
        what = table_difference(own, again)
        if what is not None:
            differences[result.trial.id] = FileDifference(METRICS, f"in its rows, {what}; {WRITTEN_ANEW}")
    if "trial" in stored.schema.names:
        unknown = sorted(set(stored.column("trial").to_pylist()) - found.finished.keys())
        if unknown:
            differences[OF_THE_RUN] = FileDifference(
                METRICS, f"has rows of {', '.join(map(str, unknown))}, without a finished trial; {WRITTEN_ANEW}"
            )
    return differences
