# SPDX-License-Identifier: Apache-2.0
"""Plans with many cells: what is the same in all cells is computed once, and what takes too much memory is refused."""

from __future__ import annotations

import copy
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from lab.experiment.check.problems import InvalidExperimentError
from lab.experiment.check.validate import validate
from lab.experiment.read.load import load_experiment
from lab.experiment.resolve import parts, paths
from lab.experiment.resolve.job import resolve
from lab.experiment.resolve.parts import parts_of
from lab.job import network
from lab.job.network import NoRouteError
from lab.job.protocol import Job
from lab.plan.description import describe
from lab.plan.plan import Plan, make_plan
from lab.plan.preview import preview
from lab.store.files import to_json
from lab.store.run import create_run

SHIPPED = sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml"))


def document(cells: int, **changes: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "topology": {"kind": "dumbbell", "bottleneck": {"rate": "20mbit", "delay": "20ms"}},
        "flows": {"bulk": {"from": "s1", "to": "d1"}},
        "duration": "10s",
        "matrix": {"topology.bottleneck.delay": [f"{20 + number}ms" for number in range(cells)]},
        **changes,
    }


def routes(job: Job) -> list[tuple[str, str]]:
    pairs = [(user["source"], user["destination"]) for user in (*job["flows"], *job["probes"])]
    return [*pairs, *(pair[::-1] for pair in pairs)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_paths_that_are_kept_are_those_of_the_network(path: Path) -> None:
    job = make_plan(load_experiment(path).checked).trials[-1].job
    for source, destination in routes(job):
        assert paths.route(job, source, destination) == network.route(job, source, destination)


def test_a_kept_path_has_the_links_of_the_network_that_is_asked_about() -> None:
    job = make_plan(validate(document(1))).trials[0].job
    before = paths.route(job, "s1", "d1")
    other = copy.deepcopy(job)
    other["links"][1]["ab"]["rate_bps"] = 8
    assert paths.route(other, "s1", "d1")[1].direction["rate_bps"] == 8
    assert paths.route(job, "s1", "d1") == before
    other["links"].pop()
    with pytest.raises(NoRouteError, match="there is no path from s1 to d1"):
        paths.route(other, "s1", "d1")


def test_the_paths_of_all_cells_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []
    original = network.next_hops

    def counted(nodes: Any, links: Any, destination: str) -> Any:
        computed.append(destination)
        return original(nodes, links, destination)

    monkeypatch.setattr(network, "next_hops", counted)
    plan = make_plan(validate(document(40, repeat=3)))
    describe(plan)
    preview(plan, 2)
    assert len(computed) <= 2


def test_a_resolved_cell_shares_nothing_that_could_change_another_one() -> None:
    experiment = validate(document(1)).cells[0].experiment
    first, second = resolve(experiment, 1), resolve(experiment, 1)
    expected = copy.deepcopy(second)
    first["nodes"][0]["name"] = "changed"
    first["links"][0]["ab"]["rate_bps"] = 8
    first["flows"][0]["name"] = "changed"
    assert second == expected
    assert resolve(experiment, 1) == expected


def test_a_plan_that_does_not_fit_into_memory_is_refused_before_it_is_made() -> None:
    large = document(10, repeat=1000, topology={**document(1)["topology"], "pairs": 90})
    with pytest.raises(InvalidExperimentError) as caught:
        validate(large)
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        "matrix: found 10000 trials (cells × repetitions) that have more than 2000000 nodes, directions of links and "
        "flows in total; expected fewer trials, or smaller networks"
    )


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 2200),
        ({"topology": {**document(1)["topology"], "pairs": 40}}, 2200),
        pytest.param(
            {"flows": {"f": {"from": "s1", "to": "d1", "amount": "10kB", "arrivals": {"per_second": 60}}}},
            2200,
            marks=pytest.mark.nightly,
        ),
    ],
    ids=["small", "wide", "short flows"],
)
def test_parts_tell_how_much_memory_a_plan_takes(changes: dict[str, Any], most: int) -> None:
    described = document(20, repeat=5, **changes)
    make_plan(validate(described))  # what is loaded and kept once does not count
    tracemalloc.start()
    checked = validate(described)
    plan = make_plan(checked)
    taken, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    number = sum(5 * parts_of(cell.experiment) for cell in checked.cells)
    assert len(plan.trials) == 100
    assert taken / number < most, "bytes for each part"
    assert parts.MAX_PARTS * most < 5 << 30


def test_a_plan_is_written_without_its_text_in_memory(tmp_path: Path) -> None:
    plan = make_plan(validate(document(300)))
    described = plan.document()
    tracemalloc.start()
    run = create_run(tmp_path, plan.name, b"", described)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    written = (run.path / "plan.json").read_bytes()
    assert written == plan.to_json().encode() == to_json(json.loads(written))
    assert peak < len(written) / 2
    assert Plan.from_json(written) == plan
