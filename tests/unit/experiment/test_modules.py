# SPDX-License-Identifier: Apache-2.0
"""Experiments with kernel modules: how they are named, which engines refuse them, and what is stored."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any

import pytest

from lab.cc.module import unpacked_source
from lab.errors import InputError, SpecError
from lab.experiment.read.load import LoadedExperiment, load_experiment
from lab.plan.plan import Plan, make_plan
from lab.run.modules import has_modules, with_modules
from lab.store.run import create_run

SOURCE = '#include <net/tcp.h>\n#include "parts/two.h"\n'
EXPERIMENT = """name: own
topology: {kind: dumbbell, bottleneck: {rate: 10mbit, delay: 25ms}}
flows: {bulk: {from: s1, to: d1, cc: CC}}
duration: 2s
"""
MODULE = "{name: mine, module: ./tcp_mine.c}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "tcp_mine.c").write_text(SOURCE)
    (tmp_path / "parts" / "two.h").write_text("#define TWO 2\n")
    return tmp_path


def loaded(cc: str = MODULE, *overrides: str, more: str = "") -> LoadedExperiment:
    Path("e.yaml").write_text(EXPERIMENT.replace("CC", cc) + more)
    return load_experiment(Path("e.yaml"), overrides)


def refused(*arguments: Any, **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        loaded(*arguments, **more)
    return str(caught.value)


def test_the_plan_has_the_source_until_the_kernel_is_known() -> None:
    (trial,) = make_plan(loaded().checked).trials
    (own,) = trial.job["algorithms"]
    assert trial.job["flows"][0]["congestion_control"] == own["name"] == "mine"
    assert own["form"] == "module source"
    source = unpacked_source("mine", zlib.decompress(base64.b64decode(own["object"])))
    assert source.sources.files == {"tcp_mine.c": SOURCE.encode(), "parts/two.h": b"#define TWO 2\n"}
    assert own["source_sha256"] == source.sources.sha256
    assert has_modules([trial.job])
    assert not has_modules([make_plan(loaded("cubic").checked).trials[0].job])


def test_a_module_is_an_axis_beside_others() -> None:
    plan = make_plan(loaded("cubic", more=f"matrix: {{flows.bulk.cc: [reno, {MODULE}]}}\n").checked)
    assert plan.axes[0].values == ("reno", "mine")
    assert [trial.id for trial in plan.trials] == ["reno-r1", "mine-r1"]


def test_a_stored_experiment_uses_the_source_that_is_stored_with_it(folder: Path) -> None:
    found = loaded()
    plan = make_plan(found.checked)
    run = create_run(folder / "results", plan.name, found.text, plan.document(), found.files)
    assert {"inputs/tcp_mine.c", "inputs/parts/two.h"} <= run.input_digests().keys()
    (folder / "tcp_mine.c").unlink()
    (own,) = make_plan(load_experiment(run.path / "experiment.yaml").checked).trials[0].job["algorithms"]
    assert own["source_sha256"] == plan.trials[0].job["algorithms"][0]["source_sha256"]


def test_paths_are_relative_to_the_file_that_names_them(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "more.yaml").write_text("extends: ../e.yaml\nduration: 3s\n")
    loaded()
    assert make_plan(load_experiment(Path("sub/more.yaml")).checked).trials[0].job["algorithms"][0]["name"] == "mine"


def test_a_plan_with_a_source_is_no_stored_plan() -> None:
    text = make_plan(loaded().checked).to_json()
    with pytest.raises(InputError, match=r"form"):
        Plan.from_json(text)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("engine=uml",), "engine: uml, whose kernel cannot load modules"),
        (("engine=native",), "a module may do anything to the kernel"),
    ],
)
def test_engines_that_refuse_modules_say_why(overrides: tuple[str, ...], words: str) -> None:
    message = refused(MODULE, *overrides)
    assert message.startswith("e.yaml:3:38: flows.bulk.cc: found your own kernel module 'mine'")
    assert words in message
    assert "expected engine: vm" in message


def test_a_kernel_package_has_no_headers(folder: Path) -> None:
    (folder / "own.deb").write_bytes(b"!<arch>\n" + hashlib.sha256(b"x").digest())
    assert "with a kernel package, which has no headers" in refused(MODULE, "engine=vm", "kernel=own.deb")


@pytest.mark.parametrize(
    ("cc", "words"),
    [
        ("{name: mine, module: none.c}", "there is no such file"),
        ("{name: Mine, module: tcp_mine.c}", "a mapping of 'name' and 'module'"),
        ("{module: tcp_mine.c}", "a mapping of 'name' and 'module'"),
        ("{name: mine, module: tcp_mine.bpf.c}", "a mapping of 'name' and 'module'"),
        ("{name: mine, module: tcp_mine.ko}", "a mapping of 'name' and 'module'"),
        ("{name: mine, module: tcp_mine.c, source: my_cc.bpf.c}", "a mapping of 'name' and 'module'"),
        ("{name: mine, module: 'tcp mine.c'}", "expected letters, digits"),
        ("{name: reno, module: tcp_mine.c}", "named 'reno', as one of the kernel's is"),
    ],
)
def test_what_is_no_module(cc: str, words: str) -> None:
    assert words in refused(cc)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "tcp_mine.c").symlink_to("/etc/passwd")
    assert "this is a link that leads out of its folder" in refused("{name: mine, module: in/tcp_mine.c}")


class _Other:
    name = "replay"


def test_only_virtual_machines_get_modules() -> None:
    plan = make_plan(loaded().checked)
    with pytest.raises(InputError, match=r"the kernel module mine with the engine replay"):
        with_modules(plan, _Other(), print)  # type: ignore[arg-type]


def test_a_plan_without_modules_stays_as_it_is() -> None:
    plan = make_plan(loaded("cubic").checked)
    assert with_modules(plan, _Other(), print) is plan  # type: ignore[arg-type]
