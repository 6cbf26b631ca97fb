# SPDX-License-Identifier: Apache-2.0
"""The file ``artifact.json`` of an artifact: its runs with the digests to be reproduced, and what they depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

from lab.errors import InputError, StoreError
from lab.store.files import check_name, read_json
from lab.store.run import Run
from lab.store.shape import check_shape, shown

FORMAT = 2
FILE = "artifact.json"
RUNS = "runs"
"""The folder of the runs, each in ``EXPERIMENT/ID``."""


class RunDocument(TypedDict):
    """A run of an artifact."""

    experiment: str
    id: str
    engine: str
    results_digest: str
    """The digest of all raw records of the run."""
    trials: dict[str, str]
    """Id of a trial → digest of its raw record."""
    claims: list[str]
    """The sentences with which the run's report begins."""


class ArtifactDocument(TypedDict):
    """The content of ``artifact.json``."""

    format: int
    title: str
    lab_version: str
    runs: list[RunDocument]
    images: list[str]
    """Digests of the guest images that are inside."""
    uml_kernels: list[str]
    """Digests of the kernels of User-mode Linux that are inside."""
    emulators: list[str]
    """Digests of the emulators (QEMU with all that it loads) that are inside."""


def run_document(run: Run) -> RunDocument:
    """Return what an artifact says about a run.

    Raises:
        StoreError: A file of the run cannot be read.
    """
    answer = run.report_dir / "answer.json"
    sentences = read_json(answer).get("sentences", []) if answer.is_file() else []
    return {
        "experiment": run.experiment,
        "id": run.id,
        "engine": str(run.provenance.get("engine", "")),
        "results_digest": run.results_digest(),
        "trials": {trial.id: trial.record_digest or "" for trial in run.trials() if trial.ok},
        "claims": [str(sentence) for sentence in sentences],
    }


def read_document(top: Path) -> ArtifactDocument:
    """Return the document of the unpacked artifact in the folder *top*.

    Raises:
        InputError: It is missing, damaged, or of another format.
    """
    path = top / FILE
    try:
        found: Any = read_json(path)
        version = found.get("format") if isinstance(found, dict) else None
        if version != FORMAT:
            raise InputError(f"{path}: found format {shown(version)}; this version of lab reads format {FORMAT}")
        check_shape(found, ArtifactDocument, str(path))
        document = cast(ArtifactDocument, found)
        for run in document["runs"]:
            check_name(run["experiment"], "experiment")
            check_name(run["id"], "run")
        for digest in (*document["images"], *document["uml_kernels"], *document["emulators"]):
            check_name(digest, "digest")
    except StoreError as error:
        raise InputError(str(error)) from error
    return document
