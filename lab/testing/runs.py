# SPDX-License-Identifier: Apache-2.0
"""Run each experiment once in a session of pytest, whichever of its workers asks for it first."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lab.api.building import overrides_of
from lab.api.results import Run, load
from lab.api.running import imported, run
from lab.errors import LabError, TrialsFailedError
from lab.experiment.read.document import parse_yaml

__all__ = ["Runs", "runs_of"]

_KEY = pytest.StashKey["Runs"]()


@dataclass(frozen=True)
class Options:
    """The options of the session."""

    engine: str | None
    bundles: Sequence[str]
    output: Path
    overrides: Mapping[str, Any]
    """Path of a field → value, for all experiments."""
    jobs: int | None
    cache: bool


class Runs:
    """The runs of a session."""

    def __init__(self, options: Options, session: str) -> None:
        self.options = options
        self._folder = Path(tempfile.gettempdir()) / f"lab-pytest-{os.getuid()}-{session}"
        """Where the workers of a session tell each other which experiments have been run."""
        self._known: dict[str, Run] = {}

    def loaded(self, path: Path, overrides: Mapping[str, Any], engine: str | None) -> Run:
        """Return the run of an experiment; it is run if no worker of this session has done so.

        If trials fail, the others are in the run all the same.

        Raises:
            LabError: The experiment cannot be run.
        """
        chosen = {**self.options.overrides, **overrides}
        where = engine or self.options.engine
        text = json.dumps([str(path.resolve()), overrides_of(chosen), where])
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        if key not in self._known:
            self._known[key] = load(self._once(key, lambda: str(self._run(path, chosen, where).path)))
        return self._known[key]

    def _run(self, path: Path, overrides: Mapping[str, Any], engine: str | None) -> Run:
        try:
            return run(
                path,
                set=overrides,
                engine=engine,
                bundle=self._bundles(),
                jobs=self.options.jobs,
                output=self.options.output,
                cache=self.options.cache,
                progress=False,
            )
        except TrialsFailedError as error:
            failed: Run = error.run
            return failed

    def _bundles(self) -> list[str]:
        """Return the digests of the chosen bundles.  Files and addresses are imported once in a session."""
        if not self.options.bundles:
            return []
        return self._once("bundles", lambda: " ".join(imported(self.options.bundles))).split()

    def _once(self, key: str, find: Callable[[], str]) -> str:
        """Return what *find* returned, or raise what it raised, in the worker that was the first to ask for *key*.

        Raises:
            LabError: *find* raised one.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = self._folder / f"{key}.json"
        with FileLock(self._folder / f"{key}.lock"):
            if note.exists():
                told = json.loads(note.read_text(encoding="utf-8"))
                if told["error"]:
                    raise LabError(told["error"])
                return str(told["found"])
            try:
                found = find()
            except LabError as error:
                note.write_text(json.dumps({"error": str(error)}), encoding="utf-8")
                raise
            note.write_text(json.dumps({"found": found, "error": ""}), encoding="utf-8")
            return found

    def forget(self) -> None:
        """Remove what the workers have told each other; the runs stay."""
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            path.unlink(missing_ok=True)
        if self._folder.is_dir():
            self._folder.rmdir()


def runs_of(config: pytest.Config) -> Runs:
    """Return the runs of the session to which *config* belongs."""
    if _KEY not in config.stash:
        worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        session = str(worker["testrunuid"]) if worker is not None else uuid.uuid4().hex
        found = config.stash[_KEY] = Runs(_options(config, workers=worker["workercount"] if worker else 1), session)
        if worker is None:
            config.add_cleanup(found.forget)
    return config.stash[_KEY]


def _options(config: pytest.Config, *, workers: int) -> Options:
    given = config.getoption("lab_set")
    overrides = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise pytest.UsageError(f"--lab-set {one}: expected PATH=VALUE, such as repeat=5")
        overrides[name] = parse_yaml(value).root
    output = config.getoption("lab_output")
    return Options(
        engine=config.getoption("lab_engine"),
        bundles=config.getoption("lab_bundle"),
        output=Path(output) if output is not None else config.rootpath / "results",
        overrides=overrides,
        jobs=config.getoption("lab_jobs") or max(1, len(os.sched_getaffinity(0)) // workers),
        cache=not config.getoption("lab_no_cache"),
    )
