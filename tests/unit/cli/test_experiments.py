# SPDX-License-Identifier: Apache-2.0
"""Commands that take an experiment without running it, and those about images."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.cc.starter import STARTERS
from tests.data.capture import EXPERIMENTS, names
from tests.unit.cli.conftest import Lab


@pytest.mark.parametrize("name", names())
def test_check_says_what_an_experiment_comes_to(name: str, lab_command: Lab) -> None:
    said = lab_command("check", EXPERIMENTS / f"{name}.yaml")
    assert said.code == 0, said.err
    assert said.lines[0].startswith(name)
    assert any(line.strip().startswith("trials") for line in said.lines)


def test_check_with_overrides_and_a_drawing(lab_command: Lab, tmp_path: Path) -> None:
    said = lab_command("check", EXPERIMENTS / "loss.yaml", "--set", "repeat=5", "--svg", "a.svg")
    assert said.code == 0
    assert "6 cells × 5 repetitions = 30" in said.out
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    said = lab_command("check", EXPERIMENTS / "loss.yaml", "--svg", tmp_path / "nowhere" / "a.svg")
    assert said.code == 2
    assert "cannot be written: No such file or directory" in said.err


def test_check_names_the_place_of_a_mistake(lab_command: Lab, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text((EXPERIMENTS / "udp.yaml").read_text().replace("rate: 2mbit", "rate: 2 parsecs"))
    said = lab_command("check", "bad.yaml")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("lab: bad.yaml:6:22: topology.bottleneck.rate: found '2 parsecs'")


def test_new_writes_an_experiment_once(lab_command: Lab, tmp_path: Path) -> None:
    (tmp_path / "my folder").mkdir()
    said = lab_command("new", "my folder/first.yaml")
    assert (said.code, said.lines) == (0, ["my folder/first.yaml"])
    assert "lab check 'my folder/first.yaml'" in said.err
    written = (tmp_path / "my folder" / "first.yaml").read_text()
    again = lab_command("new", "my folder/first.yaml")
    assert again.code == 2
    assert (tmp_path / "my folder" / "first.yaml").read_text() == written
    assert lab_command("new", "nowhere/e.yaml").code == 2
    assert lab_command("check", "my folder/first.yaml").code == 0


def test_schema_is_json(lab_command: Lab) -> None:
    said = lab_command("schema")
    assert said.code == 0
    assert "topology" in json.loads(said.out)["properties"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["nosuch"], 2), (["run"], 2), (["run", "x.yaml", "--jobs", "0"], 2), (["check", "x", "y"], 2)],
)
def test_the_command_line_itself(arguments: list[str], code: int, lab_command: Lab) -> None:
    said = lab_command(*arguments)
    assert said.code == code
    assert "Traceback" not in said.err


def test_engines_by_their_names(lab_command: Lab) -> None:
    said = lab_command("run", EXPERIMENTS / "udp.yaml", "--engine", "replay")
    assert said.code == 2
    assert "found 'replay'" in said.err
    said = lab_command("run", EXPERIMENTS / "kernels.yaml", "--engine", "native")
    assert said.code == 2
    assert "debian-12" in said.err


def test_shell_needs_a_trial_that_there_is(lab_command: Lab) -> None:
    for trial in ("nosuch", "99"):
        said = lab_command("shell", EXPERIMENTS / "loss.yaml", "--trial", trial)
        assert said.code == 2
        assert f"found '{trial}'" in said.err
        assert "cubic-loss-0pct-r1" in said.err
        assert "(18 in total)" in said.err


def test_new_writes_a_congestion_control_and_an_experiment_with_it(lab_command: Lab, tmp_path: Path) -> None:
    said = lab_command("new", "--cc", "my_cc.bpf.c")
    assert (said.code, said.lines) == (0, ["my_cc.bpf.c", "my_cc.yaml"])
    assert 'LAB_CC("my_cc"' in (tmp_path / "my_cc.bpf.c").read_text()
    checked = lab_command("check", "my_cc.yaml")
    assert checked.code == 0, checked.err
    assert "cc: cubic, my_cc" in checked.out
    assert lab_command("new", "--cc", "my_cc.bpf.c").code == 2


@pytest.mark.parametrize("starter", STARTERS)
def test_new_writes_each_starter_under_the_name_of_the_file(lab_command: Lab, tmp_path: Path, starter: str) -> None:
    assert lab_command("new", "--cc", f"own_{starter}.bpf.c", "--starter", starter).code == 0
    said = lab_command("check", f"own_{starter}.yaml")
    assert (said.code, f"cc: cubic, own_{starter}" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "found no file to write"),
        (["--cc", "My.bpf.c"], "--cc: found 'My.bpf.c'"),
        (["--cc", "x.c"], "--cc: found 'x.c'"),
        (
            ["--cc", "reno.bpf.c"],
            "but the kernel has an algorithm named 'reno'; expected another name, such as my_reno.bpf.c",
        ),
        (["--cc", "x.bpf.c", "--starter", "vegas"], "--starter: found 'vegas'; expected one of fixed, reno, delay"),
        (["x.yaml", "--starter", "delay"], "--starter: found no --cc"),
        (["e.yaml", "--cc", "../x.bpf.c"], "expected the source in the folder of the experiment"),
    ],
)
def test_new_says_what_it_can_write(arguments: list[str], words: str, lab_command: Lab, tmp_path: Path) -> None:
    said = lab_command("new", *arguments)
    assert said.code == 2
    assert words in said.err
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".c", ".yaml")]
