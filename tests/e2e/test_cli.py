# SPDX-License-Identifier: Apache-2.0
"""Test the command line as a user would use it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from tests.conftest import SHIPPED, lab_command

Lab = Callable[..., subprocess.CompletedProcess[str]]

SHORT_VM = [
    *(str(SHIPPED), "--set", "duration=5s", "--set", "repeat=1"),
    *("--set", "matrix.topology.bottleneck.loss=[0.1%]"),
    # Drawing the figures takes longer than the trials.
    *("--set", "report.defaults=false"),
]
SHORT = [*SHORT_VM, "--engine", "uml"]
"""Arguments of a short run of two trials, in User-mode Linux where the virtual machine is not the subject."""


@pytest.fixture(scope="module")
def finished(uml: UmlEngine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The results folder of a finished run of two trials with all figures, and the finished process of the command."""
    results = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [str(lab_command()), "run", *SHORT, "--set", "report.defaults=true", "-o", str(results)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return results, done


def run_folder(results: Path) -> Path:
    return (results / "cubic_vs_bbr" / "latest").resolve()


def digest(results: Path) -> str:
    found: str = json.loads((run_folder(results) / "provenance.json").read_text())["results_digest"]
    return found


@pytest.mark.vm
def test_run(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    results, done = finished
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]) == run_folder(results)
    page = (run_folder(results) / "report" / "index.html").read_text()
    assert "All 2 trials are valid" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert json.loads((run_folder(results) / "provenance.json").read_text())["status"] == "complete"


@pytest.mark.vm
def test_a_second_run_takes_everything_from_the_cache(
    finished: tuple[Path, subprocess.CompletedProcess[str]], lab: Lab, tmp_path: Path
) -> None:
    done = lab("run", *SHORT, "-o", str(tmp_path))
    assert done.returncode == 0
    assert done.stderr.count("from the cache") >= 2
    assert digest(tmp_path) == digest(finished[0])


@pytest.mark.vm
@pytest.mark.nightly
def test_without_the_cache_the_results_are_the_same(
    finished: tuple[Path, subprocess.CompletedProcess[str]], lab: Lab, tmp_path: Path
) -> None:
    done = lab("run", *SHORT, "-o", str(tmp_path), "--no-cache", "--jobs", "2")
    assert done.returncode == 0
    assert "from the cache" not in done.stderr
    assert digest(tmp_path) == digest(finished[0])


@pytest.mark.vm
@pytest.mark.nightly
def test_verify(finished: tuple[Path, subprocess.CompletedProcess[str]], lab: Lab) -> None:
    done = lab("verify", str(run_folder(finished[0])))
    assert done.stdout.splitlines()[-1] == "2/2 byte-identical"
    assert done.returncode == 0


@pytest.mark.vm
def test_verify_names_trial_and_file_that_differ(
    finished: tuple[Path, subprocess.CompletedProcess[str]], lab: Lab, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_folder(finished[0]), copy)
    (path,) = copy.glob("trials/bbr-*/trial.json")
    document = json.loads(path.read_text())
    document["record_files"]["log.txt"] = document["record_digest"] = "0" * 64
    path.write_text(json.dumps(document))
    (path.parent / "log.txt").write_text("nothing happened\n")
    done = lab("verify", str(copy))
    assert done.returncode == 1
    trial = path.parent.name
    assert f"{trial}: raw record: the repeated one differs from its digests in log.txt" in done.stdout
    assert f'{trial}: log.txt: line 1: found "nothing happened", expected "' in done.stdout
    assert done.stdout.splitlines()[-1] == "1/2 byte-identical"


@pytest.mark.vm
@pytest.mark.nightly
def test_virtual_machines_confirm_a_run(engine: VmEngine, lab: Lab, tmp_path: Path) -> None:
    short = [*SHORT_VM, "--set", "matrix={}", "--set", "repeat=3", "--set", "flows.bulk.cc=bbr", "-o", str(tmp_path)]
    # The template may have to be built first.
    done = lab("run", *short, "--engine", "uml", "--confirm", "vm", timeout=900)
    assert done.returncode == 0, done.stderr
    assert "confirmation: 3 of 3 comparisons agree" in done.stderr
    run = run_folder(tmp_path)
    stored = json.loads((run / "confirmation.json").read_text())
    assert stored["engine"] == "vm"
    assert {item["quantity"] for item in stored["comparisons"]} >= {"goodput (Mbit/s)", "mean smoothed RTT (ms)"}
    # The trials of the virtual machines are a run of their own, and those of this run are still its own.
    assert json.loads((run / stored["run"] / "provenance.json").read_text())["engine"] == "vm"
    assert json.loads((run / "provenance.json").read_text())["engine"] == "uml"
    assert "3 of 3 comparisons agree" in (run / "report" / "summary.md").read_text()


@pytest.mark.vm
def test_a_report_is_built_again_to_the_byte(finished: tuple[Path, subprocess.CompletedProcess[str]], lab: Lab) -> None:
    report = run_folder(finished[0]) / "report"
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert lab("report", str(run_folder(finished[0]))).returncode == 0
    assert {path: path.read_bytes() for path in report.rglob("*") if path.is_file()} == before


@pytest.mark.vm
def test_a_failed_trial_does_not_take_the_others_along(uml: UmlEngine, lab: Lab, tmp_path: Path) -> None:
    sysctls = "[{net.ipv4.tcp_fin_timeout: 60}, {net.ipv4.nosuch: 1}]"
    overrides = (
        *("--set", "matrix.flows.bulk.cc=[cubic]", "--set", "hosts={s1: {sysctl: {net.ipv4.tcp_fin_timeout: 60}}}"),
        *("--set", f"matrix.hosts.s1.sysctl={sysctls}"),
    )
    done = lab("run", *SHORT, *overrides, "-o", str(tmp_path))
    assert done.returncode == 3
    assert "cannot set the sysctl net.ipv4.nosuch=1" in done.stderr
    assert "Traceback" not in done.stderr
    trials = sorted((run_folder(tmp_path) / "trials").iterdir())
    status = {trial.name: json.loads((trial / "trial.json").read_text())["status"] for trial in trials}
    assert sorted(status.values()) == ["failed", "ok"]
    (failed,) = (trial for trial in trials if status[trial.name] == "failed")
    assert str(failed / "log.txt") in done.stderr
    assert "failed" in (failed / "log.txt").read_text()


@pytest.mark.vm
def test_an_algorithm_that_the_image_lacks_is_found_before_the_run(engine: VmEngine, lab: Lab, tmp_path: Path) -> None:
    done = lab("run", *SHORT_VM, "--set", "matrix.flows.bulk.cc=[cubic, bbr3]", "-o", str(tmp_path))
    assert done.returncode == 2
    assert "bbr3" in done.stderr
    assert "expected an algorithm of the kernel debian-13" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture
def running(engine: VmEngine, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The process of a run with two long trials whose machines have been started."""
    long = ["--set", "duration=600s", "--set", "repeat=1", "--set", "matrix.topology.bottleneck.loss=[0%]"]
    process = subprocess.Popen(
        [str(lab_command()), "run", str(SHIPPED), *long, "--jobs", "2", "-o", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            deadline = time.monotonic() + 300
            while len(machines_of(process.pid)) < 2:
                assert time.monotonic() < deadline, "no machine started"
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            yield process
        finally:
            process.kill()


def machines_of(pid: int) -> list[int]:
    """Return the QEMU processes that are children of ``pid``."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "qemu-system-x86" in content_of(Path(f"/proc/{child}/comm"))]


def wait_until_gone(pids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Tell whether there is a process that has not ended; a zombie has ended."""
    stat = content_of(Path(f"/proc/{pid}/stat"))
    return bool(stat) and stat.rpartition(")")[2].split()[0] != "Z"


def content_of(path: Path) -> str:
    """Return the content of a file below /proc, or nothing if its process has ended since it was listed."""
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.vm
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
def test_an_interrupt_stops_every_machine(running: subprocess.Popen[str], tmp_path: Path, number: int) -> None:
    machines = machines_of(running.pid)
    running.send_signal(number)
    _, errors = running.communicate(timeout=10)
    assert running.returncode == 130, errors
    assert "0 of 2 trials are finished and kept" in errors
    assert "Traceback" not in errors
    wait_until_gone(machines, 2)
    assert not list(tmp_path.rglob(".tmp-*"))
    assert json.loads((run_folder(tmp_path) / "provenance.json").read_text())["status"] == "interrupted"


@pytest.mark.vm
def test_a_killed_lab_leaves_no_machine_and_the_next_one_cleans_up(
    running: subprocess.Popen[str],
    finished: tuple[Path, subprocess.CompletedProcess[str]],  # Its trials are in the cache.
    lab: Lab,
    tmp_path: Path,
) -> None:
    machines = machines_of(running.pid)
    running.kill()
    running.wait()
    wait_until_gone(machines, 5)
    assert list(tmp_path.rglob(".tmp-*"))
    assert lab("run", *SHORT, "-o", str(tmp_path)).returncode == 0
    assert not list(tmp_path.rglob(".tmp-*"))


def test_check(lab: Lab) -> None:
    done = lab("check", str(SHIPPED))
    assert done.returncode == 0
    assert "6 cells × 3 repetitions = 18" in done.stdout


def test_schema(lab: Lab) -> None:
    assert json.loads(lab("schema").stdout) == json.loads(
        (Path(__file__).parents[2] / "lab/experiment/schema/experiment.schema.json").read_text()
    )


def test_bad_input_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    text = SHIPPED.read_text().replace("rate: 20mbit", "rate: 20 parsecs")
    bad.write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "parsecs" in line)
    results = tmp_path / "results"
    done = lab("run", str(bad), "-o", str(results))
    assert done.returncode == 2
    assert f"{bad}:{line}:11: topology.bottleneck.rate: found '20 parsecs'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not results.exists()


@pytest.mark.parametrize("arguments", [["run"], ["nosuch"], ["run", "x.yaml", "--jobs", "0"], ["verify", "/nowhere"]])
def test_a_bad_command_line(lab: Lab, arguments: list[str]) -> None:
    done = lab(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("lab: ")
    assert "Traceback" not in done.stderr


def test_no_mmdebstrap(lab: Lab, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    done = lab("run", *SHORT_VM, "-o", str(tmp_path / "results"), PATH=str(tmp_path), LAB_CACHE=cache)
    assert done.returncode == 3
    assert "this machine lacks mmdebstrap" in done.stderr
    assert "`lab bundle import FILE`" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.vm
def test_an_image_that_cannot_be_built(lab: Lab, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "mmdebstrap").write_text("#!/bin/sh\necho 'E: no route to the mirror'\nexit 25\n")
    (tools / "mmdebstrap").chmod(0o755)
    done = lab(
        "run", *SHORT_VM, "-o", str(tmp_path / "r"), PATH=f"{tools}:{os.environ['PATH']}", LAB_CACHE=str(tmp_path / "c")
    )
    assert done.returncode == 3
    assert "mmdebstrap failed (exit status 25); E: no route to the mirror" in done.stderr
    assert str(tmp_path / "c" / "kernel-packages.log") in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "c").glob("*/*/info.json"))
