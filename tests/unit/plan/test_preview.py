# SPDX-License-Identifier: Apache-2.0
"""The preview that ``lab check`` shows below the plan, and the experiment file that ``lab new`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.errors import InputError
from lab.experiment.check.validate import validate
from lab.experiment.read.load import load_experiment
from lab.plan.plan import make_plan
from lab.plan.preview import preview

RUNNER = CliRunner()


def shown(**fields: Any) -> list[str]:
    document = {
        "name": "test",
        "topology": {"kind": "dumbbell", "pairs": 2, "bottleneck": {"rate": "20mbit", "delay": "10ms", "loss": "1%"}},
        "flows": {"a": {"from": "s{i}", "to": "d{i}", "count": 2}, "b": {"from": "d1", "to": "s1"}},
        "duration": "20s",
        **fields,
    }
    return preview(make_plan(validate(document)), 2).splitlines()


def test_ways_commands_and_time() -> None:
    assert shown() == [
        "  flows    s1 — r1 ═ r2 — d1   a-1",
        "           s2 — r1 ═ r2 — d2   a-2",
        "           d1 — r2 ═ r1 — s1   b",
        "  tc       r1 r1-eth2:",
        "             qdisc add dev DEV root handle 1: tbf rate 20000000bit burst 1764 limit 17640",
        "             qdisc add dev DEV parent 1:1 handle 2: bfifo limit 50000",
        "             qdisc add dev DEV root handle 1: netem limit 1000000 delay 10000000ns",
        "           r2 r2-eth0:",
        "             qdisc add dev DEV root handle 1: tbf rate 20000000bit burst 1764 limit 17640",
        "             qdisc add dev DEV parent 1:1 handle 2: bfifo limit 50000",
        "             qdisc add dev DEV root handle 1: netem limit 1000000 delay 10000000ns loss random 1.0000000000%",
        "  wall     about 11 s with the engine vm (4 s with uml), 1 at a time, on the machine of "
        "docs/explanation/speed.md",
    ]


def test_commands_that_differ_between_cells() -> None:
    lines = shown(matrix={"topology.bottleneck.loss": ["0%", "1%"]})
    first = next(number for number, line in enumerate(lines) if line.startswith("  tc "))
    assert lines[first:-1] == [
        "  tc       in all cells:",
        "           r1 r1-eth2:",
        "             qdisc add dev DEV root handle 1: tbf rate 20000000bit burst 1764 limit 17640",
        "             qdisc add dev DEV parent 1:1 handle 2: bfifo limit 50000",
        "             qdisc add dev DEV root handle 1: netem limit 1000000 delay 10000000ns",
        "           r2 r2-eth0:",
        "             qdisc add dev DEV root handle 1: tbf rate 20000000bit burst 1764 limit 17640",
        "             qdisc add dev DEV parent 1:1 handle 2: bfifo limit 50000",
        "           where loss is 0%:",
        "           r2 r2-eth0:",
        "             qdisc add dev DEV root handle 1: netem limit 1000000 delay 10000000ns",
        "           where loss is 1%:",
        "           r2 r2-eth0:",
        "             qdisc add dev DEV root handle 1: netem limit 1000000 delay 10000000ns loss random 1.0000000000%",
    ]
    assert not any("where" in line for line in shown(matrix={"flows.a.cc": ["cubic", "bbr"]}))


def test_probes_take_time() -> None:
    def seconds(interval: str | None) -> int:
        probes = {"p": {"from": "s1", "to": "d1", "interval": interval}} if interval else {}
        return int(shown(probes=probes)[-1].split()[2])

    assert seconds("100ms") == pytest.approx(seconds(None), abs=1)
    # 20 000 pings, each of which keeps the virtual processor busy for 97 µs.
    assert seconds("1ms") == pytest.approx(seconds(None) + 20_000 * 97e-6 * 3.3, abs=1)


def test_more_repetitions_take_longer_and_more_at_a_time_shorter() -> None:
    def seconds(repeat: int, jobs: int) -> int:
        topology = {"kind": "dumbbell", "bottleneck": {"rate": "20mbit", "delay": "10ms"}}
        flows = {"a": {"from": "s1", "to": "d1"}}
        plan = make_plan(
            validate({"name": "x", "topology": topology, "flows": flows, "duration": "20s", "repeat": repeat})
        )
        return int(preview(plan, jobs).splitlines()[-1].split()[2])

    assert seconds(8, 2) == pytest.approx(4 * seconds(1, 2), abs=4)
    assert seconds(8, 4) == pytest.approx(seconds(8, 2) / 2, abs=2)


def test_a_new_experiment_is_valid_and_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "my_first.yaml"
    result = RUNNER.invoke(app, ["new", str(file)])
    assert result.exit_code == 0, result.output
    assert load_experiment(file).experiment.name == "my_first"
    with pytest.raises(InputError, match="the file already exists and was not changed"):
        RUNNER.invoke(app, ["new", str(file)], catch_exceptions=False)
    with pytest.raises(InputError, match="an experiment cannot be called"):
        RUNNER.invoke(app, ["new", str(tmp_path / "my first!.yaml")], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["my_first.yaml"]


def test_the_topology_is_drawn(tmp_path: Path) -> None:
    file, drawing = tmp_path / "my_first.yaml", tmp_path / "topology.svg"
    RUNNER.invoke(app, ["new", str(file)])
    result = RUNNER.invoke(app, ["check", str(file), "--svg", str(drawing)])
    assert result.exit_code == 0, result.output
    assert drawing.read_text().lstrip().startswith("<?xml")
