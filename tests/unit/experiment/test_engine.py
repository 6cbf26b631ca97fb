# SPDX-License-Identifier: Apache-2.0
"""The field ``engine``, and which kernels it goes with."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import load_experiment
from lab.plan.plan import Plan, make_plan
from tests.conftest import SHIPPED


def plan(*overrides: str) -> Plan:
    return make_plan(load_experiment(SHIPPED, overrides).checked)


@pytest.mark.parametrize(("engine", "kernel"), [("vm", "debian-13"), ("uml", "uml-7.3"), ("native", "debian-13")])
def test_each_engine_has_a_kernel_of_its_own(engine: str, kernel: str) -> None:
    made = plan(f"engine={engine}")
    assert (made.engine, made.kernels) == (engine, [kernel])
    assert Plan.from_json(made.to_json()) == made


def test_the_default_is_the_virtual_machine() -> None:
    assert plan().engine == "vm"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["engine=uml", "kernel=debian-12"],
            "--set kernel=debian-12: kernel: found 'debian-12' with engine: uml; expected uml-7.3, because",
        ),
        (["kernel=uml-7.3"], "kernel: found 'uml-7.3' with engine: vm; expected engine: uml as well"),
        (["engine=native", "kernel=debian-13"], "kernel: found 'debian-13' with engine: native; expected no kernel"),
        (["engine=qemu"], "engine: found 'qemu'; expected 'vm', 'uml' or 'native'"),
        (["matrix.engine=[vm, uml]"], "engine"),
    ],
)
def test_what_does_not_go_together(overrides: list[str], expected: str) -> None:
    with pytest.raises(SpecError) as error:
        plan(*overrides)
    assert expected in str(error.value)


def test_kernels_may_be_compared_with_one_engine() -> None:
    assert plan("matrix.kernel=[debian-12, debian-13-backports]").kernels == ["debian-12", "debian-13-backports"]
    with pytest.raises(SpecError, match=r"found 'uml-7\.3' with engine: vm"):
        plan("matrix.kernel=[debian-12, uml-7.3]")


def test_without_any_limit_user_mode_linux_would_never_end(tmp_path: Path) -> None:
    file = tmp_path / "unlimited.yaml"
    file.write_text(
        "name: unlimited\n"
        "topology: {kind: single-link, link: {delay: 1ms}}\n"
        "flows:\n"
        "  bulk: {from: s1, to: d1}\n"
        "duration: 1s\n"
    )
    assert make_plan(load_experiment(file).checked).trials
    with pytest.raises(
        SpecError, match=r"unlimited.yaml:4:3: flows.bulk: found no rate limit on the path from s1 to d1"
    ):
        load_experiment(file, ["engine=uml"])
    load_experiment(file, ["engine=uml", "flows.bulk.rate=10mbit"])
    load_experiment(file, ["engine=uml", "flows.bulk.amount=1MB"])
    load_experiment(file, ["engine=uml", "topology.link.rate=1gbit"])
