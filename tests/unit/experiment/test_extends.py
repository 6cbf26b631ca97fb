# SPDX-License-Identifier: Apache-2.0
"""Experiment files that extend others: the result of merging them, and the reported places of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import LoadedExperiment, load_experiment
from lab.store.run import create_run

BASE = """\
name: base
topology:
  kind: dumbbell
  bottleneck:
    rate: 20mbit
    delay: 10ms
    queue: {discipline: pfifo, limit: 2bdp}
flows:
  bulk: {from: s1, to: d1}
duration: 20s
matrix: {topology.bottleneck.loss: [0%, 1%]}
"""


def load(folder: Path, child: str, base: str = BASE) -> LoadedExperiment:
    (folder / "base.yaml").write_text(base)
    (folder / "child.yaml").write_text(child)
    return load_experiment(folder / "child.yaml")


def refused(folder: Path, child: str, base: str = BASE) -> str:
    with pytest.raises(SpecError) as error:
        load(folder, child, base)
    return str(error.value).replace(str(folder) + "/", "")


def test_mappings_are_merged_and_a_matrix_is_not(tmp_path: Path) -> None:
    own = "topology: {bottleneck: {queue: {limit: 1bdp}}}\nmatrix: {flows.bulk.cc: [bbr]}\n"
    raw = load(tmp_path, f"extends: base.yaml\nname: child\n{own}").raw
    assert raw["name"] == "child"
    assert raw["topology"]["bottleneck"] == {
        "rate": "20mbit",
        "delay": "10ms",
        "queue": {"discipline": "pfifo", "limit": "1bdp"},
    }
    assert raw["matrix"] == {"flows.bulk.cc": ["bbr"]}
    assert "extends" not in raw


def test_what_is_stored_stands_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, "extends: base.yaml\nname: child\nduration: 5s\n")
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    (alone / "experiment.yaml").write_bytes(loaded.text)
    assert load_experiment(alone / "experiment.yaml").raw == loaded.raw
    # A file that extends no other file is stored unchanged, including its comments.
    assert load_experiment(tmp_path / "base.yaml").text == BASE.encode()


def test_files_may_extend_files_that_extend(tmp_path: Path) -> None:
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\nduration: 9s\nmtu: 1400\n")
    loaded = load(tmp_path, "extends: middle.yaml\nmtu: 1300\n")
    assert (loaded.raw["duration"], loaded.raw["mtu"], loaded.raw["name"]) == ("9s", 1300, "base")


def test_a_mistake_is_in_the_file_that_makes_it(tmp_path: Path) -> None:
    broken = BASE.replace("delay: 10ms", "delay: 10")
    child = "extends: base.yaml\nname: child\n"
    assert refused(tmp_path, child, broken).startswith(
        "base.yaml:6:12: topology.bottleneck.delay: found 10; expected a duration"
    )
    assert refused(tmp_path, child + "mtu: 10\n").startswith("child.yaml:3:6: mtu: found 10; expected at least 576")
    assert refused(tmp_path, child + "flows: {bulk: {cx: bbr}}\n").startswith(
        "child.yaml:3:16: flows.bulk: unknown field 'cx'"
    )
    assert refused(tmp_path, child, "name: [\n").startswith("base.yaml:2:1: not valid YAML")


def test_what_cannot_be_extended(tmp_path: Path) -> None:
    assert "child.yaml:1:10: extends: found 'none.yaml': " in refused(tmp_path, "extends: none.yaml\n")
    assert "there is no such file" in refused(tmp_path, "extends: none.yaml\n")
    assert "extends: found 3; expected the path of another experiment file" in refused(tmp_path, "extends: 3\n")
    assert "found 'child.yaml', which is this file or extends it; expected another file" in refused(
        tmp_path, "extends: child.yaml\n"
    )
    circle = refused(tmp_path, "extends: base.yaml\n", "extends: child.yaml\n")
    assert circle.startswith("base.yaml:1:10: extends: found 'child.yaml', which is this file or extends it")


def test_what_a_base_names_lies_beside_the_base(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "own.mahimahi").write_text("1\n2\n")
    (tmp_path / "below" / "sizes.txt").write_text("1000\n")
    base = BASE.replace("rate: 20mbit", "capacity: own.mahimahi") + (
        "flows: {web: {from: s1, to: d1, arrivals: {per_second: 5}, amount: {distribution: file, file: sizes.txt}}}\n"
    )
    base = base.replace("flows:\n  bulk: {from: s1, to: d1}\n", "").replace("matrix: ", "# ")
    (tmp_path / "below" / "base.yaml").write_text(base)
    loaded = load(tmp_path, "extends: below/base.yaml\nname: child\n")
    assert loaded.raw["topology"]["bottleneck"]["capacity"] == "below/own.mahimahi"
    assert sorted(loaded.files) == ["below/base.yaml", "below/own.mahimahi", "below/sizes.txt", "child.yaml"]
    # The stored text contains the same paths, so that the experiment can be run again from it.
    assert b"below/own.mahimahi" in loaded.text


def test_a_run_keeps_the_files_that_were_merged(tmp_path: Path) -> None:
    (tmp_path / "lowest.yaml").write_text(BASE)
    child, base = "extends: base.yaml\nname: child\n", "extends: lowest.yaml\nduration: 7s\n"
    loaded = load(tmp_path, child, base)
    assert loaded.files == {"child.yaml": child.encode(), "base.yaml": base.encode(), "lowest.yaml": BASE.encode()}
    run = create_run(tmp_path / "results", "child", loaded.text, {"trials": []}, loaded.files)
    for stored in ("experiment.yaml", "inputs/child.yaml"):
        assert load_experiment(run.path / stored).checked == loaded.checked
    # One that extends nothing is stored once.
    assert load_experiment(tmp_path / "lowest.yaml").files == {}
