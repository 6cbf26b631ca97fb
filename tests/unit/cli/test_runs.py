# SPDX-License-Identifier: Apache-2.0
"""Commands that run trials or take a finished run: exit codes, messages, and what they leave."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.engine.base import Engine, VirtualTime
from lab.engine.replay import ReplayEngine
from lab.job.protocol import Job
from tests.data.capture import EXPERIMENTS, RECORDS
from tests.data.raw import RawTrial
from tests.unit.cli.conftest import Changing, Lab, die, provenance

SHIPPED = Path(__file__).parents[3] / "experiments" / "cubic_vs_bbr.yaml"
UDP = EXPERIMENTS / "udp.yaml"
FAILED = EXPERIMENTS / "failed.yaml"
Raw = Callable[[str], dict[str, RawTrial]]


# --- run -----------------------------------------------------------------------------------------------------


def test_run_ends_with_the_folder(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    said = lab_command("run", UDP, "-o", "here", "--jobs", "1")
    assert said.code == 0
    (run,) = said.lines
    assert Path(run).resolve() == (tmp_path / "here" / "udp" / "latest").resolve()
    assert said.err.count("done in") == 4
    assert f"report: {run}/report/index.html" in said.err
    assert (Path(run) / "report" / "index.html").is_file()
    assert (Path(run) / "experiment.yaml").read_bytes() == UDP.read_bytes()
    about = provenance(run)
    assert about["command"] == f"lab run {UDP} -o here --jobs 1"
    assert (about["status"], about["engine"], about["jobs"]) == ("complete", "replay", 1)


def test_the_second_run_takes_all_trials_from_the_cache(engines: list[Engine], lab_command: Lab) -> None:
    first = lab_command("run", UDP)
    engines[:] = [Changing(die)]  # which nobody asks for anything
    again = lab_command("run", UDP)
    assert (first.code, again.code) == (0, 0)
    assert first.err.count("from the cache") == 0
    assert again.err.count(": from the cache") == 4
    assert first.lines[-1] != again.lines[-1]
    assert provenance(first.lines[-1])["results_digest"] == provenance(again.lines[-1])["results_digest"]
    assert all(trial["cached"] for trial in provenance(again.lines[-1])["trials"].values())
    without = lab_command("run", UDP, "--no-cache")
    assert without.code == 3
    assert without.err.count("the virtual machine ended") >= 4


def test_a_failed_trial_is_exit_code_3(engines: list[Engine], lab_command: Lab) -> None:
    said = lab_command("run", FAILED)
    assert said.code == 3
    run = Path(said.lines[-1])
    assert "lab: trial nosuch-r1 failed: the kernel has no congestion control nosuch; it offers bbr" in said.err
    assert str(run / "trials" / "nosuch-r1" / "log.txt") in said.err
    assert said.err.endswith("lab: 1 of 2 trials failed\n")
    assert provenance(str(run))["status"] == "failed"
    assert (run / "trials" / "cubic-r1" / "validity.json").is_file()


def test_a_job_that_was_not_captured_fails(engines: list[Engine], lab_command: Lab) -> None:
    said = lab_command("run", UDP, "--set", "duration=3s", "--set", "repeat=1")
    assert said.code == 3
    assert said.err.count("no record was captured of this job") >= 2
    assert "2 of 2 trials failed" in said.err
    assert provenance(said.lines[-1])["overrides"] == ["duration=3s", "repeat=1"]


def test_an_engine_that_cannot_start(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    engines[:] = [ReplayEngine(tmp_path / "nothing")]
    said = lab_command("run", UDP)
    assert said.code == 3
    assert "there are no captured records" in said.err
    assert not (tmp_path / "results").exists()


def test_bad_input_is_exit_code_2(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\n")
    for arguments in (["run", "bad.yaml"], ["run", "nowhere.yaml"], ["run", UDP, "--set", "duration=5"]):
        said = lab_command(*arguments)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("lab: ")
    assert not (tmp_path / "results").exists()


def test_an_interrupted_run_keeps_what_is_finished(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    class Interrupted(ReplayEngine):
        async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
            await super().run(job, directory, worker, on_time)
            if directory.name == "queue-fq_codel-100p-r1":
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(60)

    engines[:] = [Interrupted(RECORDS)]
    said = lab_command("run", UDP, "--jobs", "1")
    assert said.code == 130
    assert "interrupted; 1 of 4 trials are finished and kept" in said.err
    (run,) = (tmp_path / "results" / "udp").glob("2*")
    assert provenance(str(run))["status"] == "interrupted"
    assert f"report: {Path('results/udp') / run.name / 'report/index.html'}" in said.err
    assert "3 not run" in (run / "report" / "summary.md").read_text()
    assert (run / "metrics.parquet").exists()
    assert not list(run.rglob(".tmp-*"))
    engines[:] = [ReplayEngine(RECORDS)]
    assert lab_command("run", UDP).err.count(": from the cache") == 1


def test_the_files_that_were_read_are_kept_apart_from_what_was_found(
    engines: list[Engine], lab_command: Lab, tmp_path: Path
) -> None:
    folder = tmp_path / "own" / "trials"
    folder.mkdir(parents=True)
    (folder / "provenance.yaml").write_bytes(UDP.read_bytes())
    (tmp_path / "own" / "plan.json").write_text("extends: trials/provenance.yaml\nname: udp\n")
    said = lab_command("run", "own/plan.json")
    assert said.code == 0, said.err
    run = Path(said.lines[-1])
    kept = {str(path.relative_to(run)) for path in run.rglob("*") if path.suffix in (".yaml", ".json")}
    assert {"experiment.yaml", "inputs/plan.json", "inputs/trials/provenance.yaml", "plan.json"} <= kept
    assert len(list((run / "trials").iterdir())) == 4
    shutil.rmtree(tmp_path / "own")
    for arguments in (["verify", run, "--trials", "1"], ["report", run], ["run", run / "experiment.yaml"]):
        said = lab_command(*arguments)
        assert said.code == 0, said.err
    # It has the same trials, and the merged file extends nothing.
    assert said.err.count(": from the cache") == 4
    assert not (Path(said.lines[-1]) / "inputs").exists()


def test_the_commands_for_runs_do_not_need_the_files_where_they_were(
    engines: list[Engine], lab_command: Lab, tmp_path: Path
) -> None:
    shutil.copytree(EXPERIMENTS / "capacity", tmp_path / "above" / "capacity")
    text = (EXPERIMENTS / "capacity.yaml").read_text()
    assert "capacity: capacity/" in text
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text(text.replace("capacity: capacity/", "capacity: ../above/capacity/"))
    said = lab_command("run", "own/mine.yaml", "--allow-invalid")
    assert said.code == 0, said.err
    run = Path(said.lines[-1])
    assert sorted(path.name[:8] for path in (run / "inputs").iterdir()) == ["outside-"]
    shutil.rmtree(tmp_path / "above")
    for arguments in (
        ["verify", run, "--trials", "1"],
        ["report", run],
        ["export", run, "--format", "tcpprobe"],
        ["run", run / "experiment.yaml", "--allow-invalid"],
    ):
        said = lab_command(*arguments)
        assert said.code == 0, said.err
    assert "from the cache" in said.err
    assert lab_command("check", "own/mine.yaml").code == 2


# --- report --------------------------------------------------------------------------------------------------


@pytest.fixture
def run(engines: list[Engine], lab_command: Lab) -> str:
    """The folder of a finished run."""
    return lab_command("run", UDP).lines[-1]


def test_report_says_what_it_leaves_alone(
    run: str, lab_command: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only who puts figures into the cache cleans it up.
    figures = tmp_path / "cache" / "figures"
    monkeypatch.setattr("lab.store.places.figures", lambda: figures)
    left = [Path(run) / f".tmp-7-1-{'f' * 16}-x", figures / f".tmp-999999999-{'a' * 12}"]
    for folder in left:
        folder.mkdir(parents=True)
    said = lab_command("report", run)
    assert said.code == 0
    assert all(f"{folder.resolve()} stays: it belongs to a lab of another machine" in said.err for folder in left)


def test_report_builds_it_again(run: str, lab_command: Lab) -> None:
    index = Path(run) / "report" / "index.html"
    before = index.read_bytes()
    shutil.rmtree(index.parent)
    said = lab_command("report", run)
    assert (said.code, said.lines) == (0, [str(index.resolve())])
    assert index.read_bytes() == before
    assert lab_command("report", Path(run).parent).code == 2


# --- export --------------------------------------------------------------------------------------------------


def test_export_writes_the_lines_of_tcpprobe(engines: list[Engine], lab_command: Lab, raw: Raw, tmp_path: Path) -> None:
    run = lab_command("run", FAILED).lines[-1]
    said = lab_command("export", run, "--format", "tcpprobe", "-o", "out")
    assert (said.code, said.lines) == (0, ["out/cubic-r1.bulk.tcpprobe"])
    lines = (tmp_path / said.lines[0]).read_text().splitlines()
    rows = raw("failed")["cubic-r1"].acks("bulk")
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        time, source, destination, *numbers = line.split()
        assert time == f"{row['t'] // 10**9}.{row['t'] % 10**9:09d}"
        assert source == f"{row['saddr']}:{row['sport']}"
        assert destination == f"{row['daddr']}:{row['dport']}"
        fields = ("data_len", "snd_nxt", "snd_una", "snd_cwnd", "ssthresh", "snd_wnd", "srtt_us", "rcv_wnd")
        assert [int(one, 0) for one in numbers] == [row[field] for field in fields]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "xlsx"], "--format: found 'xlsx'; expected one of tcpprobe, pcap, flent, csv"),
        (["--format", "pcap", "--collector", "packets"], "--collector: found it with --format pcap; expected it with"),
        (["--format", "csv", "--collector", "nosuch"], "has no table 'nosuch'; expected one of accounts, backlog,"),
        (["--format", "pcap"], "ran without the collector packets, so there is nothing to export; add collect:"),
        (["--format", "tcpprobe", "--trial", "nosuch"], "has no finished trial nosuch"),
        (["--format", "tcpprobe"], "ran without the collector tcp_probe"),
    ],
)
def test_what_cannot_be_exported(arguments: list[str], message: str, engines: list[Engine], lab_command: Lab) -> None:
    run = lab_command("run", EXPERIMENTS / "native.yaml").lines[-1]  # in which no window was recorded
    said = lab_command("export", run, *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert not Path("export").exists()


def test_nothing_is_exported_if_one_trial_lacks_it(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    run = Path(lab_command("run", EXPERIMENTS / "failed.yaml").lines[-1])
    document = run / "trials" / "cubic-r1" / "trial.json"
    other = Path(shutil.copytree(document.parent, run / "trials" / "other-r1")) / "trial.json"
    text = other.read_text().replace('"id": "cubic-r1"', '"id": "other-r1"').replace('"tcp_probe": {', '"other": {')
    other.write_text(text)
    said = lab_command("export", run, "--format", "tcpprobe")
    assert (said.code, said.out) == (2, "")
    assert "trial other-r1 ran without the collector tcp_probe" in said.err
    assert not (tmp_path / "export").exists()


def test_csv_of_some_tables(engines: list[Engine], lab_command: Lab) -> None:
    run = lab_command("run", FAILED).lines[-1]
    said = lab_command("export", run, "--format", "csv", "--collector", "tcp_probe", "--collector", "sockets")
    assert (said.code, said.lines) == (0, ["export/cubic-r1.tcp_probe.csv", "export/cubic-r1.sockets.csv"])
    assert lab_command("export", run, "--format", "csv").lines[0] == "export/metrics.csv"


# --- run --confirm ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "uml", "--confirm", "native"), "--confirm: found 'native'; expected 'vm'"),
        (("--engine", "vm", "--confirm", "vm"), "--confirm: found an experiment for the engine vm; expected uml"),
        (
            ("--engine", "uml", "--confirm", "vm", "--set", "repeat=1"),
            "--confirm: found an experiment with repeat: 1; expected at least 2 repetitions",
        ),
    ],
)
def test_what_cannot_be_confirmed_is_refused_before_anything_runs(
    options: tuple[str, ...], message: str, lab_command: Lab, tmp_path: Path
) -> None:
    said = lab_command("run", SHIPPED, *options)
    assert said.code == 2
    assert message in said.err
    assert not (tmp_path / "results").exists()


# --- how much is printed -------------------------------------------------------------------------------------


def test_quiet_prints_results_and_errors_only(engines: list[Engine], lab_command: Lab) -> None:
    said = lab_command("run", UDP, "-q")
    assert (said.code, said.err) == (0, "")
    (run,) = said.lines
    said = lab_command("verify", run, "--quiet")
    assert (said.code, said.lines, said.err) == (0, ["4/4 byte-identical"], "")
    said = lab_command("run", FAILED, "-q")
    assert said.code == 3
    assert all(line.startswith("lab: ") for line in said.err.splitlines())
    assert ": FAILED" not in said.err


def test_verbose_says_when_trials_start_and_what_they_depend_on(engines: list[Engine], lab_command: Lab) -> None:
    said = lab_command("run", UDP, "--verbose")
    assert said.code == 0
    assert said.err.count(": started (") == 4
    assert "\ncache: " in said.err
    for name, value in engines[0].about().items():
        assert f"{name}: {value}\n" in said.err
    again = lab_command("verify", said.lines[-1], "-v")
    assert again.err.count(": started (") == 4


@pytest.mark.parametrize("command", [["run", UDP], ["verify", "."], ["bundle", "build"]])
def test_verbose_and_quiet_exclude_each_other(command: list[object], lab_command: Lab) -> None:
    said = lab_command(*command, "-v", "-q")
    assert said.code == 2
    assert "found --verbose and --quiet; expected one of them" in said.err
