# SPDX-License-Identifier: Apache-2.0
"""What pytest loads: options, the collection of experiments, and the fixture ``lab_run``.

Every installed plugin is loaded whenever pytest starts, so this module imports nothing of ``lab`` before there is an
experiment to be run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lab.api.results import Run
    from lab.testing.runs import Runs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of experiments."""
    group = parser.getgroup("lab", "network experiments (lab)")
    group.addoption(
        "--lab-engine", metavar="ENGINE", help="Where trials run: vm, uml or native [default: the experiment's engine]."
    )
    group.addoption(
        "--lab-bundle",
        metavar="DIGEST|FILE|URL",
        action="append",
        default=[],
        help="The bundle in which trials run, as for lab run --bundle; may be repeated.",
    )
    group.addoption(
        "--lab-output",
        metavar="DIR",
        default=None,
        help="The folder in which runs are stored [default: results, in pytest's root directory].",
    )
    group.addoption(
        "--lab-set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="Set a field of every experiment, e.g. repeat=5; may be repeated.",
    )
    group.addoption(
        "--lab-jobs",
        metavar="N",
        type=int,
        default=None,
        help="Number of trials that run in parallel [default: one per processor, divided by the workers of -n].",
    )
    group.addoption(
        "--lab-no-cache",
        action="store_true",
        default=False,
        help="Run all trials, even those whose results are in the cache.",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect an experiment that expects something; other YAML files are left alone."""
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    from lab.experiment.read.expecting import expects_something

    if not expects_something(file_path):
        return None
    from lab.testing.items import ExperimentFile

    return ExperimentFile.from_parent(parent, path=file_path)


@pytest.fixture
def lab_run(request: pytest.FixtureRequest) -> Callable[..., Run]:
    """A function that runs an experiment and returns it as a :class:`lab.Run`, with its data frames.

    It takes the path of the experiment, relative to the file of the test, and maybe ``set`` (a mapping of fields to
    values) and ``engine``.  Each experiment runs once, however many tests ask for it.
    """
    runs = _runs_of(request.config)

    def run(experiment: str | Path, *, set: dict[str, Any] | None = None, engine: str | None = None) -> Run:
        return runs.loaded(request.path.parent / experiment, set or {}, engine)

    return run


def _runs_of(config: pytest.Config) -> Runs:
    from lab.testing.runs import runs_of

    return runs_of(config)
