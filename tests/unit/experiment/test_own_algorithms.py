# SPDX-License-Identifier: Apache-2.0
"""Experiments with congestion controls of the user: how they are named, found and refused."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import LoadedExperiment, load_experiment, load_text
from lab.plan.plan import Plan, make_plan
from lab.store.run import create_run
from tests.unit.cc.test_compiler import GOOD

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None or not Path("/usr/bin/clang").exists(),
    reason="clang and bubblewrap are not installed",
)

EXPERIMENT = """name: own
topology: {kind: dumbbell, bottleneck: {rate: 10mbit, delay: 25ms}}
flows: {bulk: {from: s1, to: d1, cc: CC}}
duration: 2s
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_cc.bpf.c").write_text(GOOD)
    (tmp_path / "same.bpf.c").write_text(GOOD + "/* another file */\n")
    return tmp_path


def loaded(cc: str, *overrides: str, more: str = "") -> LoadedExperiment:
    Path("e.yaml").write_text(EXPERIMENT.replace("CC", cc) + more)
    return load_experiment(Path("e.yaml"), overrides)


def planned(*arguments: Any, **more: Any) -> Plan:
    return make_plan(loaded(*arguments, **more).checked)


def refused(*arguments: Any, **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        loaded(*arguments, **more)
    return str(caught.value)


def test_the_job_has_the_object_and_the_flow_its_name() -> None:
    (trial,) = planned("./my_cc.bpf.c").trials
    (own,) = trial.job["algorithms"]
    assert trial.job["flows"][0]["congestion_control"] == own["name"] == "my_cc"
    assert own["source_sha256"] == hashlib.sha256(GOOD.encode()).hexdigest()


def test_a_job_without_own_algorithms_is_as_before() -> None:
    assert "algorithms" not in planned("cubic").trials[0].job


def test_an_axis_shows_the_names() -> None:
    plan = planned("cubic", more="matrix: {flows.bulk.cc: [cubic, ./my_cc.bpf.c, {name: mine, source: same.bpf.c}]}\n")
    assert plan.axes[0].values == ("cubic", "my_cc", "mine")
    assert [cell.id for cell in plan.cells] == ["cubic", "my_cc", "mine"]
    assert plan.cells[1].experiment["flows"]["bulk"]["cc"] == "./my_cc.bpf.c"


def test_an_override_names_a_source() -> None:
    assert planned("cubic", "flows.bulk.cc=./my_cc.bpf.c").trials[0].job["algorithms"][0]["name"] == "my_cc"


def test_expectations_can_select_by_the_name() -> None:
    more = "matrix: {flows.bulk.cc: [cubic, ./my_cc.bpf.c]}\nexpect: ['goodput(cc=my_cc) >= 0.5 * link.rate']\n"
    assert loaded("cubic", more=more)


def test_the_plan_can_be_read_again_without_the_source(folder: Path) -> None:
    plan = planned("./my_cc.bpf.c")
    (folder / "my_cc.bpf.c").unlink()
    assert Plan.from_json(plan.to_json()) == plan


def test_a_stored_experiment_uses_the_source_that_is_stored_with_it(folder: Path) -> None:
    (folder / "my_cc.bpf.c").write_text('#include "parts/two.h"\n' + GOOD.replace("/ 2, 2", "/ TWO, 2"))
    (folder / "parts").mkdir()
    (folder / "parts" / "two.h").write_text("#define TWO 2\n")
    found = loaded("./my_cc.bpf.c")
    plan = make_plan(found.checked)
    run = create_run(folder / "results", plan.name, found.text, plan.document(), found.files)
    assert {"inputs/my_cc.bpf.c", "inputs/parts/two.h"} <= run.input_digests().keys()
    (folder / "my_cc.bpf.c").unlink()
    again = make_plan(load_experiment(run.path / "experiment.yaml").checked)
    assert again.trials[0].digest == plan.trials[0].digest


def test_paths_are_relative_to_the_file_that_names_them(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "more.yaml").write_text("extends: ../e.yaml\nduration: 3s\n")
    loaded("./my_cc.bpf.c")
    found = load_experiment(Path("sub/more.yaml"))
    assert make_plan(found.checked).trials[0].job["algorithms"][0]["name"] == "my_cc"


def test_a_compile_error_is_at_the_field_with_the_students_line(folder: Path) -> None:
    (folder / "my_cc.bpf.c").write_text(GOOD.replace("snd_cwnd / 2", "snd_cwmd / 2"))
    message = refused("./my_cc.bpf.c")
    assert message.startswith("e.yaml:3:38: flows.bulk.cc: found './my_cc.bpf.c': it does not compile:\nmy_cc.bpf.c:4:")


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("scenarios", ""),
        ("linked", "linked/../"),  # Its parent is another folder.
    ],
)
def test_a_source_in_the_folder_above_has_a_short_path(place: str, shown: str, folder: Path) -> None:
    wrong = GOOD.replace("snd_cwnd / 2", "snd_cwmd / 2")
    for parent in (folder, folder / "elsewhere"):
        (parent / "scenarios").mkdir(parents=True)
        (parent / "my_cc.bpf.c").write_text(wrong)
    (folder / "linked").symlink_to("elsewhere/scenarios")
    experiment = Path(place, "e.yaml")
    experiment.write_text(EXPERIMENT.replace("CC", "../my_cc.bpf.c"))
    with pytest.raises(SpecError, match=f"it does not compile:\n{shown}my_cc.bpf.c:4:"):
        load_experiment(experiment)


@pytest.mark.parametrize(
    ("cc", "words"),
    [
        ("./none.bpf.c", "there is no such file"),
        ("{name: My, source: my_cc.bpf.c}", "expected up to 15 lowercase letters"),
        ("{name: cubic, source: my_cc.bpf.c}", "named 'cubic', as one of the kernel's is"),
        ("{source: my_cc.bpf.c}", "a mapping of 'name' and 'source'"),
        ("my_cc.c", "expected up to 15 lowercase letters"),
        ('"a\\0.bpf.c"', "expected up to 15 lowercase letters"),
        ('{name: mine, source: "my_cc.bpf.c\\0x.bpf.c"}', "expected up to 15 lowercase letters"),
        ("/dev/zero.bpf.c", "there is no such file"),
    ],
)
def test_what_is_no_algorithm(cc: str, words: str) -> None:
    assert words in refused(cc)


def test_two_sources_of_one_name_are_refused() -> None:
    message = refused("cubic", more="matrix: {flows.bulk.cc: [./my_cc.bpf.c, same.bpf.c]}\n")
    assert "matrix.flows.bulk.cc[1]: found an algorithm named 'my_cc', as that of './my_cc.bpf.c' is" in message
    assert "cc: {name: my_my_cc, source: same.bpf.c}" in message


def test_the_same_source_twice_is_refused() -> None:
    message = refused("cubic", more="matrix: {flows.bulk.cc: [./my_cc.bpf.c, my_cc.bpf.c]}\n")
    assert "found 'my_cc.bpf.c', which is the same as './my_cc.bpf.c'" in message


def test_user_mode_linux_is_refused_with_the_reason() -> None:
    message = refused("./my_cc.bpf.c", "engine=uml")
    assert "cannot load it" in message
    assert "expected engine: vm" in message


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.bpf.c"])
def test_a_link_that_leads_out_of_the_folder_is_not_followed(target: str, folder: Path) -> None:
    (folder / "outside.bpf.c").write_text("the-secret")
    (folder / "in").mkdir()
    (folder / "in" / "my_cc.bpf.c").symlink_to(target)
    message = refused("in/my_cc.bpf.c")
    assert "this is a link that leads out of its folder" in message
    assert "secret" not in message


def test_a_header_that_is_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "my_cc.bpf.c").write_text('#include "mine.h"\n' + GOOD)
    (folder / "in" / "mine.h").symlink_to("/etc/passwd")
    message = refused("in/my_cc.bpf.c")
    assert "mine.h: this is a link that leads out of its folder" in message
    assert "root:" not in message


@pytest.mark.parametrize("kind", ["folder", "huge", "pipe"])
def test_what_is_no_source_file(kind: str, folder: Path) -> None:
    path = folder / "my_cc.bpf.c"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"/" * (1 << 20))
    assert "my_cc.bpf.c" in refused("./my_cc.bpf.c")


def test_an_experiment_without_a_file_finds_its_source() -> None:
    found = load_text(Path("experiment"), EXPERIMENT.replace("CC", "./my_cc.bpf.c").encode())
    assert make_plan(found.checked).trials[0].job["algorithms"][0]["name"] == "my_cc"
