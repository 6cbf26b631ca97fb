# SPDX-License-Identifier: Apache-2.0
"""The folder of a run may come from anybody: whatever its JSON files say, commands end in a message or work."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.engine.base import Engine, Step
from lab.engine.replay import ReplayEngine
from lab.errors import EngineError
from lab.store.digest import digest_of
from lab.store.run import Run
from tests.data.capture import RECORDS
from tests.unit.cli.conftest import Lab

SEED = 20260
EXPERIMENTS = ("everything", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("short_flows", "fairness")))
MUTATIONS, AT_NIGHT = 15, 500
"""Mutations of each run."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, -(2**63), 2**64, 10**400, 0.5, -1e308, 1e-300),
    *("", "x", "../../x", "a\nb", "\x00", "\ud800", "x" * 5000),
    *([], {}, [None], [[]], {"": 0}, {"x": None}),
)
"""What a value is replaced by."""

Place = tuple[str | int, ...]


class Located(ReplayEngine):
    """Ends `lab verify` when it has read the run and is about to run trials."""

    def locate(self, step: Step) -> None:
        raise EngineError("it would start now")


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Yield the places of all values in a document, at most three of each list."""
    yield here
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*here, name))
    elif isinstance(value, list):
        for index, item in enumerate(value[:3]):
            yield from places(item, (*here, index))


def mutated(document: Any, chance: random.Random) -> tuple[Any, str]:
    """Return a copy of the document in which one value is replaced or missing, and what was done."""
    found = list(places(document))
    # Most values are deep in the records of traffic; first a depth is drawn, so that the others have their turn.
    depth = chance.choice(sorted({len(place) for place in found}))
    place = chance.choice([place for place in found if len(place) == depth])
    if not place:
        value = chance.choice(VALUES)
        return value, f"is {value!r:.40}"
    changed = copy.deepcopy(document)
    parent = changed
    for part in place[:-1]:
        parent = parent[part]
    if chance.random() < 0.25:
        del parent[place[-1]]
        return changed, f"{place} is missing"
    value = chance.choice(VALUES)
    parent[place[-1]] = value
    return changed, f"{place} is {value!r:.40}"


def with_digests(name: str, document: Any) -> Any:
    """Give the jobs of a changed plan or trial their digests: whoever changes them can compute those."""
    try:
        if name == "plan.json":
            for trial in document["trials"]:
                trial["digest"] = digest_of(trial["job"])
        elif name == "trial.json":
            document["job_digest"] = digest_of(document["job"])
    except (TypeError, KeyError, ValueError, AttributeError):
        pass
    return document


def files_of(run: Path) -> list[Path]:
    wanted = [path for path in sorted(run.rglob("*.json")) if path.relative_to(run).parts[0] != "report"]
    assert {path.name for path in wanted} >= {"plan.json", "provenance.json", "trial.json", "validity.json"}
    return wanted


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_content_of_a_runs_files_ends_in_a_traceback(
    experiment: str,
    replayed: Callable[[str], Run],
    lab_command: Lab,
    engines: list[Engine],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    number = AT_NIGHT if pytestconfig.getoption("nightly") else MUTATIONS
    run = tmp_path / "run"
    shutil.copytree(replayed(experiment).path, run)
    engines[:] = [Located(RECORDS)]
    assert lab_command("report", run).code == 0
    files = files_of(run)
    chance = random.Random(f"{SEED} {experiment}")
    failed, refused = [], 0
    for _ in range(number):
        path = chance.choice(files)
        before = path.read_bytes()
        document, what = mutated(json.loads(before), chance)
        path.write_text(json.dumps(with_digests(path.name, document)), encoding="utf-8", errors="surrogatepass")
        for command in (("report", run), ("verify", run), ("export", run, "--format", "tcpprobe")):
            try:
                said = lab_command(*command)
            except BaseException as error:
                failed.append(
                    f"lab {command[0]}: {path.relative_to(run)}: {what}: {type(error).__name__}: {error!s:.200}"
                )
                continue
            assert said.code in (0, 2, 3), said.err
            refused += said.code != 0 and "it would start now" not in said.err
        path.write_bytes(before)
    assert not failed, "\n".join(failed)
    assert refused > number / 4, "mutations were expected to do some damage"
