# SPDX-License-Identifier: Apache-2.0
"""Messages that say what to write instead, and names that only the kernel and tc know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.engine.image.known import known_in, of_configuration, read_known, write_known
from lab.errors import SpecError
from lab.experiment.check.known import Known, unknown_names
from lab.experiment.read.load import load_experiment

PLAIN = {
    "name": "t",
    "topology": "{kind: dumbbell, bottleneck: {rate: 10mbit, delay: 25ms}}",
    "flows": "{bulk: {from: s1, to: d1}}",
    "duration": "10s",
}
RED = "{kind: dumbbell, bottleneck: {rate: 10mbit, delay: 25ms, queue: {discipline: red, parameters: PARAMETERS}}}"


def file_with(tmp_path: Path, **fields: str) -> Path:
    file = tmp_path / "e.yaml"
    file.write_text("".join(f"{name}: {value}\n" for name, value in {**PLAIN, **fields}.items()))
    return file


def refusal(file: Path, known: Known | None = None) -> str:
    with pytest.raises(SpecError) as found:
        load_experiment(file, lookup=lambda _engine, _kernel: known)
    return str(found.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("flows", "{bulk: {from: s1, to: d1, cc: [cubic, bbr]}}", "'matrix: {flows.bulk.cc: [cubic, bbr]}'"),
        ("kernel", "[debian-12, debian-13]", "'matrix: {kernel: [debian-12, debian-13]}'"),
        ("duration", "[10s, 20s]", "'matrix: {duration: [10s, 20s]}'"),
        ("flows", "[{from: s1, to: d1}]", "expected a mapping, such as 'flows: {bulk: {from: s1, to: d1}}'"),
        ("collect", "[tcp_probe]", "expected a mapping, such as 'collect: {tcp_probe: {}, queue: {}}'"),
        (
            "topology",
            "{kind: dumbbell, bottleneck: {rate: 10mbit, delay: 25ms}, queue: {discipline: fq}}",
            "unknown field 'queue'; it is a field of topology.bottleneck or topology.access: write it there",
        ),
        ("topology", "{kind: dumbbell", "the '{' in line 2, column 11 needs a '}' before this place"),
        ("topology", "\n\tkind: dumbbell", "found a tab; expected spaces"),
        ("duration", "-10s", "it cannot be negative"),
        ("topology", RED.replace("PARAMETERS", "{min: -1}"), "expected a number that is not negative"),
    ],
)
def test_what_to_write_instead(field: str, value: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(file_with(tmp_path, **{field: value}))


@pytest.mark.parametrize("name", ["police", "burst", "dscp"])
def test_no_name_is_offered_that_is_not_near(name: str, tmp_path: Path) -> None:
    for fields in (
        {"flows": f"{{bulk: {{from: s1, to: d1, {name}: 1}}}}"},
        {"topology": f"{{kind: dumbbell, bottleneck: {{rate: 10mbit, delay: 25ms, {name}: 1}}}}"},
    ):
        found = refusal(file_with(tmp_path, **fields))
        assert f"unknown field '{name}' (fields: " in found


def test_numbers_reach_tc_as_they_are_written(tmp_path: Path) -> None:
    file = file_with(tmp_path, topology=RED.replace("PARAMETERS", "{min: 15000, probability: 0.00002, ecn: true}"))
    queue = load_experiment(file).experiment.topology.bottleneck.queue  # type: ignore[union-attr]
    assert queue is not None
    assert queue.parameters == {"min": 15000, "probability": "0.00002", "ecn": True}


KNOWN = Known(frozenset({"reno", "cubic", "bbr"}), {"red": frozenset({"min", "max", "ecn"})})


def test_names_that_the_kernel_or_tc_does_not_have(tmp_path: Path) -> None:
    file = file_with(tmp_path, matrix="{flows.bulk.cc: [cubic, bbr3]}")
    expected = (
        "matrix.flows.bulk.cc[1]: found 'bbr3'; expected an algorithm of the kernel debian-13; did you mean 'bbr'?"
    )
    assert expected in refusal(file, KNOWN)
    assert unknown_names(cell.experiment for cell in load_experiment(file).checked.cells) == ["bbr3"]
    for parameters in (
        {"topology": RED.replace("PARAMETERS", "{mim: 15000}")},
        {"hosts": "{s1: {queue: {discipline: red, parameters: {mim: 15000}}}}"},
    ):
        found = refusal(file_with(tmp_path, **parameters), KNOWN)
        assert (
            "parameters.mim: found 'mim'; expected a parameter of red in tc; did you mean 'min'? (ecn, max, min)"
            in found
        )
    # tc has no usage for this discipline, so nothing is known about its parameters.
    load_experiment(
        file_with(tmp_path, hosts="{s1: {queue: {discipline: fq, parameters: {any: 1}}}}"), (), lambda *_: KNOWN
    )


def test_the_list_of_an_image(tmp_path: Path) -> None:
    program = shutil.which("tc")
    if program is None:
        pytest.skip("tc is not installed")
    modules = tmp_path / "usr/lib/modules/6.1/kernel/net/ipv4"
    modules.mkdir(parents=True)
    for name in ("tcp_bbr.ko.xz", "tcp_diag.ko", "tcp_sigpool.ko", "tunnel4.ko"):
        (modules / name).touch()
    (tmp_path / "usr/lib/modules/6.1/modules.builtin").write_text("kernel/net/ipv4/tcp_cubic.ko\nkernel/fs/ext4.ko\n")
    (tmp_path / "usr/sbin").mkdir()
    shutil.copyfile(program, tmp_path / "usr/sbin/tc")
    write_known(tmp_path, known_in(tmp_path, "6.1"))
    found = read_known(tmp_path)
    assert found is not None
    algorithms, parameters = found
    assert algorithms == {"reno", "bbr", "cubic"}
    assert parameters.keys() == {"bfifo", "pfifo", "codel", "fq_codel", "fq", "pie", "fq_pie", "red", "sfq", "cake"}
    assert parameters["codel"] == {"limit", "target", "interval", "ecn", "noecn", "ce_threshold"}
    assert {"no_dq_rate_estimator", "nobytemode"} <= parameters["fq_pie"]
    assert {"horizon_cap", "nopacing"} <= parameters["fq"]
    (tmp_path / "known.json").write_text("[]")
    assert read_known(tmp_path) is None
    assert of_configuration("CONFIG_TCP_CONG_BBR=y\n# CONFIG_TCP_CONG_BIC is not set\nCONFIG_TCP_CONG_HSTCP=m\n") == {
        "reno", "bbr", "highspeed",
    }  # fmt: skip
