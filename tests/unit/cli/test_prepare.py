# SPDX-License-Identifier: Apache-2.0
"""``lab prepare``: shares of the trials that several machines run, and the key of what is built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.engine.base import Engine
from lab.engine.modules import headers
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.run.share import Share, parse_share
from tests.data.capture import EXPERIMENTS, RECORDS
from tests.unit.cli.conftest import Changing, InRealTime, Lab, die, provenance

UDP = EXPERIMENTS / "udp.yaml"
MODULE = """\
name: module
topology: {kind: dumbbell, bottleneck: {rate: 10mbit, delay: 20ms}}
flows: {bulk: {from: s1, to: d1, cc: {name: mine, module: tcp_mine.c}}}
duration: 10s
engine: vm
"""


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "2", "1/2/3", "-1/2", "1 /2", "", "1.0/2"])
def test_what_is_no_share(lab_command: Lab, text: str) -> None:
    with pytest.raises(ValueError, match="expected K/N, such as 2/4"):
        parse_share(text)
    said = lab_command("prepare", UDP, f"--share={text}")
    assert (said.code, said.out) == (2, "")
    assert f"--share: found {text!r}; expected K/N" in said.err


def test_shares_that_are_brought_together_are_the_whole_run(
    engines: list[Engine], lab_command: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "cache" / "trials"
    for number in (1, 2, 3):
        # A machine of its own.
        monkeypatch.setenv("LAB_CACHE", str(tmp_path / f"machine-{number}"))
        said = lab_command("prepare", UDP, "--share", f"{number}/3")
        assert (said.code, said.out) == (0, ""), said.err
        assert f"{2 if number == 1 else 1} trials are in the cache" in said.err
        shutil.copytree(tmp_path / f"machine-{number}" / "trials", whole, dirs_exist_ok=True)
    assert not (tmp_path / "results").exists()
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    said = lab_command("run", UDP)
    assert said.err.count(": from the cache") == 4
    alone = lab_command("run", UDP, "--no-cache")
    assert provenance(said.lines[-1])["results_digest"] == provenance(alone.lines[-1])["results_digest"]


def test_each_trial_is_in_one_share() -> None:
    from lab.api.engines import planned

    _loaded, plan = planned(UDP, [])
    for of in range(1, 7):
        found = [trial.id for number in range(of) for trial in Share(number + 1, of).part_of(plan).trials]
        assert sorted(found) == sorted(trial.id for trial in plan.trials)


def test_a_failed_trial_of_a_share(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [Changing(die)]
    said = lab_command("prepare", UDP, "--share", "1/1")
    assert said.code == 3
    assert "lab: udp: trial queue-pfifo-20p-r1 failed: " in said.err
    assert "udp: 0 trials are in the cache" in said.err


def test_trials_in_real_time_cannot_be_shared(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [InRealTime(RECORDS)]
    said = lab_command("prepare", UDP, "--share", "1/2")
    assert said.code == 2
    assert "found an experiment with engine: native; expected one in virtual time" in said.err


def test_the_key_is_that_of_what_would_be_built(lab_command: Lab) -> None:
    def key(*arguments: object) -> str:
        said = lab_command("prepare", "--key", *arguments)
        assert said.code == 0, said.err
        (line,) = said.lines
        return line

    alone = key(UDP, "--engine", "uml")
    assert len(alone) == 64
    assert key(UDP, UDP, "--engine", "uml", "--set", "duration=3s") == alone
    machine = key(UDP, "--engine", "vm")
    assert machine != alone
    assert key(UDP, "--engine", "vm", "--set", "kernel=debian-12") != machine


def test_the_key_knows_of_the_headers_for_modules(
    lab_command: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(Path(__file__).parents[2] / "guest" / "modules" / "tcp_mine.c", tmp_path)
    path = tmp_path / "module.yaml"
    path.write_text(MODULE)
    keys = set()
    for packages in (headers.PACKAGES, (*headers.PACKAGES, "another")):
        monkeypatch.setattr(headers, "PACKAGES", packages)
        said = lab_command("prepare", "--key", path)
        assert said.code == 0, said.err
        keys.add(said.out)
    assert len(keys) == 2


def test_engines_say_what_they_would_build() -> None:
    assert set(UmlEngine().recipes()) == {"QEMU", "guest image debian-13", "kernel uml-7.3"}
    virtual = VmEngine(["debian-12", "debian-13"]).recipes()
    assert set(virtual) == {"QEMU", "guest image debian-12", "guest image debian-13"}
    assert virtual["guest image debian-13"] == UmlEngine().recipes()["guest image debian-13"]
    assert len(set(virtual.values())) == 3
