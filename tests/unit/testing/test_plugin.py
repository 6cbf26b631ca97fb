# SPDX-License-Identifier: Apache-2.0
"""The plugin of pytest, in sessions of pytest of their own, with an engine that plays captured records back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.experiment.read import expecting
from lab.experiment.read.files import MAX_FILE_BYTES
from tests.data.capture import EXPERIMENTS

pytest_plugins = ["pytester"]

UDP = (EXPERIMENTS / "udp.yaml").read_text()

PLAYING = """
from pathlib import Path
import lab.api.running, lab.report.figures.saving
from lab.engine.replay import ReplayEngine
from tests.data.capture import RECORDS
from tests.unit.cli.conftest import quick

def named(_name, plan, _packages):
    with (Path(__file__).parent / "started").open("a") as file:
        file.write(plan.name + chr(10))
    return ReplayEngine(RECORDS)

lab.api.running.engine_named = named
lab.report.figures.saving.save = quick
"""
"""What a session loads so that trials are played back, and the experiments that have been started are noted."""

Session = Callable[..., pytest.RunResult]


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Runs pytest in a process of its own: libraries such as polars cannot be imported twice in one."""
    pytester.makepyfile(playing=PLAYING)
    monkeypatch.setenv("LAB_CACHE", str(pytester.path / "cache"))
    pytester.syspathinsert(Path(__file__).parents[3])
    pytester.syspathinsert(pytester.path)

    def run(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "playing", *arguments, timeout=120)

    return run


def started(pytester: pytest.Pytester) -> list[str]:
    """The experiments that have been started."""
    path = pytester.path / "started"
    return path.read_text().splitlines() if path.exists() else []


def write(pytester: pytest.Pytester, name: str, *expected: str) -> Path:
    """Write an experiment with these expectations; its trials have been captured."""
    path = pytester.path / "experiments" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    text = UDP.replace("name: udp", f"name: {name}")
    path.write_text(text + ("expect:\n" + "".join(f"  - {one}\n" for one in expected) if expected else ""))
    return path


def test_each_expectation_is_a_test_and_its_failure_says_what_was_observed(
    pytester: pytest.Pytester, session: Session
) -> None:
    write(
        pytester,
        "voice",
        "goodput(flow=voice) > 1bit",
        "{that: goodput(flow=voice) > 1mbit, name: Voice is fast, because: it must be, source: a dream}",
        "goodput(flow=voice) < 1gbit",
    )
    write(pytester, "silent")
    (pytester.path / "experiments" / "other.yaml").write_text("expect: [this, is, no, experiment]\n")
    (pytester.path / "experiments" / "large.yaml").write_text("expect: []\ntopology: {}\n" + "#" * 2**17)
    (pytester.path / "experiments" / "listed.yml").write_text("- 1\n")
    result = session("experiments", "-n", "2", "-v", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2, failed=1)
    # Experiments that expect nothing are not run, and one that does is run once, by one of the workers.
    assert started(pytester) == ["voice"]
    result.stdout.fnmatch_lines(
        [
            "*FAILED experiments/voice.yaml::Voice is fast*",
            "goodput(flow=voice) > 1mbit",
            "  not met: found * kbit/s, expected > 1 Mbit/s, margin −*",
            "  because: it must be",
            "  source: a dream",
            "  cases, the worst first:",
            "    not met: queue pfifo 20p, voice: * kbit/s, expected > 1 Mbit/s, margin −*",
            f"figure: {pytester.path}/results/voice/*/report/figures/goodput*.png",
            f"report: {pytester.path}/results/voice/*/report/index.html",
            f"look closer: lab expect {pytester.path}/results/voice/* --that 'goodput(flow=voice) > 1mbit'",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    found = ElementTree.parse(pytester.path / "junit.xml").getroot().findall(".//testcase")
    cases = {case.get("name"): case for case in found}
    assert set(cases) == {"goodput(flow=voice) > 1bit", "Voice is fast", "goodput(flow=voice) < 1gbit"}
    properties = {one.get("name"): one.get("value") for one in cases["Voice is fast"].findall(".//property")}
    assert properties["lab_that"] == "goodput(flow=voice) > 1mbit"
    assert properties["lab_verdict"] == "not met"
    assert properties["lab_expected"] == "> 1 Mbit/s"
    assert (properties["lab_observed"] or "").endswith("kbit/s")
    assert cases["goodput(flow=voice) > 1bit"].find("failure") is None
    assert cases["Voice is fast"].find("failure") is not None


def test_an_experiment_with_a_mistake_is_an_error_with_its_line(pytester: pytest.Pytester, session: Session) -> None:
    path = write(pytester, "wrong", "gooput > 1bit")
    result = session("experiments")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"{path}:*:5: expect?0?: unknown metric 'gooput'; did you mean 'goodput'?; at *"])
    assert started(pytester) == []


def test_a_field_may_be_set_that_only_the_chosen_engine_has(pytester: pytest.Pytester, session: Session) -> None:
    path = write(pytester, "kernel", "goodput > 1bit")
    path.write_text(path.read_text() + "engine: uml\n")
    result = session("experiments", "--collect-only", "--lab-engine", "vm", "--lab-set", "kernel=debian-12")
    result.stdout.fnmatch_lines(["*ExpectationItem goodput > 1bit*"])
    result = session("experiments", "--collect-only", "--lab-set", "kernel=debian-12")
    result.stdout.fnmatch_lines(["*kernel: found 'debian-12' with engine: uml; expected uml-7.3*"])


def test_what_the_engine_lacks_is_said_without_a_traceback(pytester: pytest.Pytester, session: Session) -> None:
    write(pytester, "unknown", "goodput > 1bit", "goodput > 2bit")
    # Nothing has been captured of these trials.
    result = session("experiments", "--lab-set", "seed=77")
    result.assert_outcomes(failed=2)
    assert "Traceback" not in result.stdout.str()
    result.stdout.fnmatch_lines(["  cannot be judged: the trial * failed: *"])
    assert started(pytester) == ["unknown"]


def test_tests_in_python_get_data_frames_and_share_the_run_and_its_options(
    pytester: pytest.Pytester, session: Session
) -> None:
    write(pytester, "voice", "goodput(flow=voice) > 1bit")
    pytester.makepyfile(
        test_voice="""
        def test_goodput(lab_run):
            metrics = lab_run("experiments/voice.yaml").metrics
            assert metrics.height == 8
            assert (metrics["goodput_bps"] > 0).all()

        def test_again(lab_run):
            run = lab_run("experiments/voice.yaml")
            assert run.expectations["verdict"].to_list() == ["met"]
            other = lab_run("experiments/voice.yaml", set={"title": "Other"})
            assert other.title == "Other" and other.path != run.path
            assert other.path.parents[1].name == "there" and other.provenance["jobs"] == 1
        """
    )
    result = session("test_voice.py", "experiments", "--lab-output=there", "--lab-jobs=1", "--lab-set", "mtu=1500")
    result.assert_outcomes(passed=3)
    assert started(pytester) == ["voice", "voice"]


def test_starting_pytest_loads_nothing_of_lab_but_the_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_what_is_loaded():
            own = {name for name in sys.modules if name == "lab" or name.startswith("lab.")}
            read = {"lab.experiment", "lab.experiment.read", "lab.experiment.read.expecting"}
            assert own == {"lab", "lab.testing", "lab.testing.plugin", *read}
            assert not {"numpy", "polars", "pyarrow", "matplotlib", "pydantic"} & sys.modules.keys()
        """
    )
    (pytester.path / "some.yaml").write_text("a: 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_the_plugin_knows_how_large_an_experiment_may_be() -> None:
    # It imports nothing of the package, which has the number.
    assert expecting._MOST_BYTES == MAX_FILE_BYTES
