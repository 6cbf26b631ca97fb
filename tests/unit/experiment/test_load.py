# SPDX-License-Identifier: Apache-2.0
"""Reading experiment files: values, defaults and overrides; no input causes an error other than SpecError."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lab.errors import SpecError
from lab.experiment.check import validate as validation
from lab.experiment.check.experiment import check
from lab.experiment.check.problems import InvalidExperimentError, Problem
from lab.experiment.check.validate import CheckedExperiment, examine, validate
from lab.experiment.read.load import LoadedExperiment, load_experiment
from lab.experiment.schema.contents import Contents
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.links import RandomLoss
from lab.experiment.schema.topologies import Dumbbell
from lab.plan.plan import make_plan

SHIPPED = Path(__file__).parents[3] / "experiments" / "cubic_vs_bbr.yaml"

MINIMAL = """\
name: minimal
topology: {kind: dumbbell, bottleneck: {rate: 20mbit, delay: 20ms}}
flows: {bulk: {from: s1, to: d1}}
duration: 10s
"""


def _load(tmp_path: Path, text: str, *overrides: str) -> LoadedExperiment:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return load_experiment(path, overrides)


def _problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        _load(tmp_path, text, *overrides)
    return str(caught.value).replace(f"{tmp_path / 'x.yaml'}", "x.yaml").splitlines()


def test_the_shipped_experiment() -> None:
    loaded = load_experiment(SHIPPED)
    experiment = loaded.experiment
    assert loaded.path == SHIPPED
    assert loaded.text == SHIPPED.read_bytes()
    assert isinstance(experiment.topology, Dumbbell)
    assert experiment.topology.bottleneck.rate == 20_000_000
    assert experiment.topology.bottleneck.delay == 20_000_000
    assert experiment.duration == 30 * 10**9
    assert experiment.start_jitter == 100 * 10**6
    assert experiment.flows["bulk"].source == "s1"
    assert experiment.matrix == {
        "flows.bulk.cc": ["cubic", "bbr"],
        "topology.bottleneck.loss": ["0%", "0.1%", "1%"],
    }


def test_what_a_file_may_leave_out(tmp_path: Path) -> None:
    experiment = _load(tmp_path, MINIMAL).experiment
    assert experiment.flows["bulk"].cc == "cubic"
    assert experiment.flows["bulk"].duration is None
    assert isinstance(experiment.topology, Dumbbell)
    assert experiment.topology.bottleneck.loss == RandomLoss(model="random", probability=0)
    (job,) = [trial.job for trial in make_plan(validate(_load(tmp_path, MINIMAL).raw)).trials]
    queue = next(link["ab"]["queue"] for link in job["links"] if link["name"] == "bottleneck")
    assert queue is not None
    assert queue["discipline"] == "bfifo"
    assert (experiment.repeat, experiment.seed, experiment.mtu, experiment.offloads) == (1, 1, 1500, False)
    assert (experiment.ip, experiment.ecn, experiment.socket_buffer) == ("ipv4", "off", "auto")
    assert experiment.collect.tcp_probe is not None


def test_collectors_are_those_that_are_named(tmp_path: Path) -> None:
    assert _load(tmp_path, MINIMAL + "collect: {}\n").experiment.collect.tcp_probe is None
    named = _load(tmp_path, MINIMAL + "collect:\n  tcp_probe:\n").experiment.collect.tcp_probe
    assert named is not None
    assert named.record == "every_ack"


def test_yaml_is_version_1_2(tmp_path: Path) -> None:
    experiment = _load(
        tmp_path, MINIMAL + "ecn: on\ntitle: 2001-01-01\nseed: 0o17\nmtu: 0x5dc\ndescription: 1_000\n"
    ).experiment
    assert experiment.ecn == "on"
    assert experiment.title == "2001-01-01"
    assert experiment.seed == 15
    assert experiment.mtu == 1500
    assert experiment.description == "1_000"


def test_an_experiment_is_frozen(tmp_path: Path) -> None:
    experiment = _load(tmp_path, MINIMAL).experiment
    with pytest.raises(ValidationError, match="frozen"):
        experiment.seed = 2  # type: ignore[misc]


# --- overrides


def test_overrides_replace_and_add(tmp_path: Path) -> None:
    loaded = _load(
        tmp_path,
        MINIMAL,
        "duration=5s",
        "topology.bottleneck.queue.limit=2bdp",
        "flows.late={from: s1, to: d1, start: 1s}",
        "flows.late.cc=bbr",
        "title=a = b",
    )
    assert loaded.experiment.duration == 5 * 10**9
    topology = loaded.experiment.topology
    assert isinstance(topology, Dumbbell)
    assert topology.bottleneck.queue is not None
    assert str(topology.bottleneck.queue.limit) == "2 BDP"
    assert list(loaded.experiment.flows) == ["bulk", "late"]
    assert loaded.experiment.flows["late"].cc == "bbr"
    assert loaded.experiment.title == "a = b"
    assert loaded.raw["duration"] == "5s"
    assert loaded.text == MINIMAL.encode()
    assert loaded.overrides[0] == "duration=5s"


def test_overrides_of_the_matrix_name_the_axis_with_its_dots() -> None:
    matrix = load_experiment(
        SHIPPED, ["matrix.flows.bulk.cc=[cubic]", "matrix.topology.bottleneck.loss=[0%]", "matrix.mtu=[1500, 9000]"]
    ).experiment.matrix
    assert matrix == {"flows.bulk.cc": ["cubic"], "topology.bottleneck.loss": ["0%"], "mtu": [1500, 9000]}


def test_an_override_of_the_whole_matrix() -> None:
    assert load_experiment(SHIPPED, ["matrix={}", "flows.bulk.cc=bbr"]).experiment.flows["bulk"].cc == "bbr"


def test_an_override_can_mend_what_the_file_has_wrong(tmp_path: Path) -> None:
    assert _load(tmp_path, MINIMAL.replace("20mbit", "fast"), "topology.bottleneck.rate=1mbit").experiment


def test_the_file_is_not_changed_by_overrides(tmp_path: Path) -> None:
    _load(tmp_path, MINIMAL, "duration=5s")
    assert (tmp_path / "x.yaml").read_text() == MINIMAL


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("duraton=5s", "duraton: unknown field 'duraton'; did you mean 'duration'? (fields: name, title,"),
        ("topology.bottleneck.los=1%", "topology.bottleneck.los: unknown field 'los'; did you mean 'loss'?"),
        ("flows.blk.cc=bbr", "flows.blk.cc: unknown name 'blk'; did you mean 'bulk'? (names: bulk) in 'flows'"),
        ("duration.s=5", "duration.s: 'duration' is a single value; it has no field 's'"),
        ("duration=5 parsecs", "duration: found '5 parsecs'; expected a duration such as"),
        ("duration=", "duration: the document is empty"),
        ("duration=[5s", "duration: not valid YAML: expected ',' or ']'"),
        ("duration", "expected PATH=VALUE, such as duration=5s"),
        ("=5s", "expected PATH=VALUE, such as duration=5s"),
        (".=5s", ": unknown field ''"),
        ("flows.bulk={from: s1}", "flows.bulk: 'to' is missing"),
        ("flows.bulk.from=s9", "flows.bulk.from: found 's9'; expected a host (s1 or d1)"),
        ("matrix.flows.bulk.cx=[cubic]", "matrix.flows.bulk.cx: unknown field 'cx'; did you mean 'cc'?"),
        ("matrix.flows.bulk.cc=[]", "matrix.flows.bulk.cc: found an empty list; expected at least 1"),
        ("matrix.flows.bulk.cc=[cubic, 7]", "matrix.flows.bulk.cc[1]: found 7; expected text; quote it"),
        ("collect=none", "collect: found 'none'; expected a mapping"),
        ("name=!!python/name:os.system x", "name: found the tag"),
    ],
)
def test_a_wrong_override_is_named_as_the_place(tmp_path: Path, override: str, message: str) -> None:
    (line,) = _problems(tmp_path, MINIMAL, override)
    assert line.startswith(f"--set {override}: {message}")


def test_an_override_that_the_matrix_would_undo(tmp_path: Path) -> None:
    text = MINIMAL + "matrix: {topology.bottleneck.loss: [0%, 1%]}\n"
    (line,) = _problems(tmp_path, text, "topology.bottleneck.loss=5%")
    assert line.endswith(
        "the matrix sets this field, so the override would have no effect; "
        "set matrix.topology.bottleneck.loss=[…] instead"
    )
    assert _load(tmp_path, text, "matrix.topology.bottleneck.loss=[5%]").experiment.matrix


def test_an_override_below_something_that_holds_no_fields(tmp_path: Path) -> None:
    (line,) = _problems(tmp_path, MINIMAL.replace("{from: s1, to: d1}", "s1"), "flows.bulk.cc=bbr")
    assert line.startswith("--set flows.bulk.cc=bbr: flows.bulk.cc: found a single value on this path in the file")


def test_problems_of_file_and_overrides_come_together(tmp_path: Path) -> None:
    lines = _problems(tmp_path, MINIMAL.replace("20mbit", "fast"), "seed=x")
    assert [line.split(" found")[0] for line in lines] == [
        "x.yaml:2:47: topology.bottleneck.rate:",
        "--set seed=x: seed:",
    ]


# --- documents without a file


def test_validate_takes_plain_values_and_leaves_them_alone() -> None:
    document = load_experiment(SHIPPED).raw
    before = copy.deepcopy(document)
    assert validate(document).experiment.name == "cubic_vs_bbr"
    assert document == before


def test_validate_names_paths() -> None:
    with pytest.raises(InvalidExperimentError, match=r"^seed: found 'x'; expected a whole number$") as caught:
        validate({**load_experiment(SHIPPED).raw, "seed": "x"})
    assert [problem.path for problem in caught.value.problems] == [("seed",)]


# --- no errors other than SpecError


def _outcome(path: Path) -> str:
    try:
        load_experiment(path)
    except SpecError as error:
        return str(error)
    return "good"


def _check_outcome(path: Path, outcome: str) -> None:
    outcome.encode()  # the message can be printed
    assert outcome == "good" or all(line.startswith(f"{path}:") for line in outcome.splitlines())


_FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(data=st.binary(max_size=200))
@example(data=b"\xff")
@example(data=b"%YAML 9.9\n---\na")
@example(data=b"? - ? - ?")
@example(data=b"&a : *a")
@example(data=b"!<tag:yaml.org,2002:map> {}")
@example(data=b"!<> x")
@example(data=b'"\\U00110000"')
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    _check_outcome(path, _outcome(path))


_MARKS = list("[]{}:,-?&*!|>'\"%@`#~ \n\t")
_PIECES = st.sampled_from(
    [
        *_MARKS,
        *(
            "a: ",
            "- ",
            "\n  ",
            "&a ",
            "*a",
            "<<: ",
            "!!set ",
            "!!binary ",
            "1e999",
            ".nan",
            "---\n",
            "...\n",
            "\\ud800",
        ),
        *("name", "flows", "matrix: ", "topology.bottleneck.loss", "flows.bulk.cc", "0%", "cubic", "duration: "),
    ]
)


@_FUZZ
@given(data=st.data())
def test_any_damage_to_a_good_file(tmp_path: Path, data: st.DataObject) -> None:
    text = SHIPPED.read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 20, len(text))))
        text = text[:start] + "".join(data.draw(st.lists(_PIECES, max_size=3))) + text[end:]
    path = tmp_path / "x.yaml"
    path.write_text(text)
    _check_outcome(path, _outcome(path))


_KEYS = st.sampled_from(
    [
        *(
            "name",
            "topology",
            "flows",
            "duration",
            "matrix",
            "bottleneck",
            "queue",
            "bulk",
            "cc",
            "from",
            "to",
            "limit",
        ),
        *("kind", "rate", "delay", "loss", "collect", "tcp_probe", "reverse", "access", "parameters", "seed", "repeat"),
        *("flows.bulk.cc", "topology.bottleneck", "topology.bottleneck.queue.parameters.x", "[key]", ".", ""),
    ]
)
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["1bdp", "20mbit", "20ms", "1%", "s1", "d1", "cubic", "dumbbell", "every_ack"])
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=20
)


@_FUZZ
@given(document=_VALUES)
def test_any_values(document: Any) -> None:
    problems = examine(document)
    assert isinstance(problems, list)
    assert problems
    assert all(problem.message for problem in problems)


@_FUZZ
@given(changes=st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=3))
def test_any_values_in_a_good_document(changes: dict[str, Any]) -> None:
    document = {**load_experiment(SHIPPED).raw, **changes}
    found = examine(document)
    problems = found if isinstance(found, list) else []
    assert isinstance(found, CheckedExperiment) or problems
    assert all(problem.message for problem in problems)
    json.dumps([str(problem) for problem in problems])


def test_each_cell_is_parsed_and_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    checked: list[Experiment] = []
    parse = validation._parse

    def counted_parse(document: Mapping[str, Any], contents: Contents) -> tuple[Experiment | None, list[Problem]]:
        parsed.append(json.dumps(document))
        return parse(document, contents)

    def counted_check(experiment: Experiment) -> list[Problem]:
        checked.append(experiment)
        return check(experiment)

    monkeypatch.setattr(validation, "_parse", counted_parse)
    monkeypatch.setattr(validation, "check", counted_check)
    plan = make_plan(load_experiment(SHIPPED).checked)
    assert len(plan.cells) == 6
    assert len(checked) == 6
    # The six cells, the document itself, and each of the five values in the matrix are parsed once.
    assert len(parsed) == 6 + 1 + 5


@_FUZZ
@given(override=st.text(max_size=30) | st.tuples(_KEYS, st.text(max_size=10)).map("=".join))
def test_any_override(override: str) -> None:
    try:
        load_experiment(SHIPPED, [override])
    except SpecError as error:
        message = str(error)
    else:
        message = "good"
    assert message == "good" or all(line.startswith(("--set ", f"{SHIPPED}:")) for line in message.splitlines())


def test_a_probe_between_hosts_without_a_path_is_refused(tmp_path: Path) -> None:
    # Hosts do not forward packets, so there is no path through h.
    text = """\
name: probe
topology:
  kind: custom
  nodes: {s1: host, h: host, d1: host}
  links: {a: {from: s1, to: h}, b: {from: h, to: d1}}
flows: {bulk: {from: s1, to: h}}
probes: {echo: {from: s1, to: d1}}
duration: 5s
"""
    assert _problems(tmp_path, text) == [
        "x.yaml:7:31: probes.echo.to: found no path from s1 to d1; expected one (hosts do not forward packets)"
    ]
    late = text.replace("from: s1, to: d1}}", "from: s1, to: h, start: 6s}}")
    assert _problems(tmp_path, late) == [
        "x.yaml:7:41: probes.echo.start: found a start at 6 s; expected a start within the experiment's duration, 5 s"
    ]
