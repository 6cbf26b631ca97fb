# SPDX-License-Identifier: Apache-2.0
"""``lab verify``: every change of a stored file is found and named, and so is every other outcome of a trial."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lab.engine.base import Engine
from lab.engine.replay import ReplayEngine
from lab.errors import EngineError
from lab.store.rows import write_table
from tests.data.capture import EXPERIMENTS, RECORDS
from tests.data.raw import RawTrial
from tests.unit.cli.conftest import Changing, InRealTime, Lab, die, provenance

UDP = EXPERIMENTS / "udp.yaml"
EVERYTHING = EXPERIMENTS / "everything.yaml"
Raw = Callable[[str], dict[str, RawTrial]]


def change_log(directory: Path) -> None:
    if directory.name.endswith("r1"):
        (directory / "log.txt").write_text("another")


@pytest.fixture
def run(engines: list[Engine], lab_command: Lab) -> str:
    """The folder of a finished run."""
    return lab_command("run", UDP).lines[-1]


@pytest.fixture
def everything(engines: list[Engine], lab_command: Lab) -> Path:
    """The folder of a finished run of two trials, with all collectors."""
    return Path(lab_command("run", EVERYTHING).lines[-1])


# --- runs in virtual time ------------------------------------------------------------------------------------


def test_verify_finds_the_same_bytes(run: str, lab_command: Lab) -> None:
    said = lab_command("verify", run)
    assert (said.code, said.lines[-1]) == (0, "4/4 byte-identical")
    assert "not the same machine" not in said.err
    said = lab_command("verify", run, "--trials", "2")
    assert (said.code, said.lines[-1]) == (0, "2/2 byte-identical")
    # Spread over the plan.
    assert "queue-pfifo-20p-r1" in said.err
    assert "queue-fq_codel-100p-r1" in said.err


def test_verify_names_what_differs(run: str, engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [Changing(change_log)]
    said = lab_command("verify", run)
    assert said.code == 1
    trials = ("queue-pfifo-20p-r1", "queue-fq_codel-100p-r1")
    expected = []
    for trial in trials:
        first = (Path(run) / "trials" / trial / "log.txt").read_text().splitlines()[0]
        assert len(first) < 60
        expected += [
            f"{trial}: raw record: the repeated one differs from its digests in log.txt",
            f'{trial}: log.txt: line 1: found "{first}", expected "another"',
        ]
    assert said.lines == [*expected, "2/4 byte-identical"]


def test_verify_removes_what_it_disproves_from_the_cache(run: str, engines: list[Engine], lab_command: Lab) -> None:
    right = engines[0]
    assert lab_command("run", UDP).err.count(": from the cache") == 4
    engines[:] = [Changing(change_log)]
    assert lab_command("verify", run).err.count("the cache had another record, which is removed") == 2
    engines[:] = [right]
    again = lab_command("run", UDP)
    assert again.err.count(": from the cache") == 2
    assert lab_command("verify", again.lines[-1]).lines[-1] == "4/4 byte-identical"


def test_verify_says_what_failed_this_time(run: str, engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [Changing(die)]
    said = lab_command("verify", run, "--trials", "1")
    assert said.code == 3
    assert said.lines == ["queue-pfifo-20p-r1: the virtual machine ended", "0/1 byte-identical"]


def test_verify_says_that_the_machine_is_another(run: str, lab_command: Lab) -> None:
    path = Path(run) / "provenance.json"
    path.write_text(json.dumps({**provenance(run), "captures_digest": "another"}))
    said = lab_command("verify", run, "--trials", "1")
    assert said.code == 0
    assert (
        "this machine differs from that of the run: captures_digest: the run had another, but this machine has "
        in said.err
    )


def test_verify_of_a_run_without_a_finished_trial(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [Changing(die)]
    run = lab_command("run", UDP).lines[-1]
    said = lab_command("verify", run)
    assert (said.code, said.out) == (2, "")
    assert "has no finished trial" in said.err


def test_a_damaged_plan(run: str, lab_command: Lab) -> None:
    path = Path(run) / "plan.json"
    plan = json.loads(path.read_text())
    plan["trials"][0]["job"]["seed"] += 1
    path.write_text(json.dumps(plan))
    said = lab_command("verify", run)
    assert said.code == 2
    assert "does not match its digest" in said.err


def test_runs_in_real_time_are_compared_by_their_means(engines: list[Engine], lab_command: Lab, raw: Raw) -> None:
    engines[:] = [InRealTime(RECORDS)]
    run = lab_command("run", EXPERIMENTS / "native.yaml").lines[-1]
    said = lab_command("verify", run)
    assert said.code == 0
    assert said.lines[-1] == "2/2 agree"
    for algorithm, line in zip(("cubic", "reno"), said.lines, strict=False):
        rates = [(raw("native")[f"{algorithm}-r{number}"].goodput_bps("bulk") or 0.0) / 1e6 for number in (1, 2)]
        mean = f"{sum(rates) / 2:.4g}"
        assert line.startswith(f"{algorithm}, bulk: goodput (Mbit/s) {mean} and {mean}: they agree (adjusted p = 1)")


def test_means_that_differ_are_exit_code_1(engines: list[Engine], lab_command: Lab) -> None:
    def slower(directory: Path) -> None:
        path = directory / "record.json"
        document = json.loads(path.read_text())
        for flow in document["flows"]:
            for part in ("declared", "measured"):
                flow["accounts"]["sides"]["arrived"][part]["bytes"] //= 3
        path.write_text(json.dumps(document))

    class Slower(Changing):
        name = "native"
        is_exact = False

    engines[:] = [InRealTime(RECORDS)]
    run = lab_command("run", EXPERIMENTS / "native.yaml").lines[-1]
    engines[:] = [Slower(slower)]
    said = lab_command("verify", run)
    assert said.code == 1
    assert "they differ" in said.out
    assert said.lines[-1] in ("0/2 agree", "1/2 agree")
    # Of one repetition there is no spread.
    said = lab_command("verify", run, "--trials", "1")
    assert "cannot be compared: a single repetition says nothing about the variation" in said.out
    assert (said.code, said.lines[-1]) == (1, "0/1 agree; 1 cannot be compared")


def test_an_engine_that_cannot_verify(run: str, engines: list[Engine], lab_command: Lab) -> None:
    class Broken(ReplayEngine):
        async def prepare(self, step: Callable[[str], None]) -> None:
            raise EngineError("no template")

    engines[:] = [Broken(RECORDS)]
    said = lab_command("verify", run)
    assert (said.code, said.err.splitlines()[-1]) == (3, "lab: no template")


# --- stored files that have changed --------------------------------------------------------------------------


def doctor(run: Path, trial: str, name: str, change: Callable[[Path], None], *, with_digests: bool) -> None:
    """Change a file of a trial; *with_digests*, also the digests of it in trial.json and in provenance.json."""
    folder = run / "trials" / trial
    change(folder / name)
    if not with_digests:
        return
    document = json.loads((folder / "trial.json").read_text())
    if name in document["files"]:
        document["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        (folder / "trial.json").write_text(json.dumps(document))
    about = provenance(str(run))
    about["trials"][trial]["trial_json_digest"] = hashlib.sha256((folder / "trial.json").read_bytes()).hexdigest()
    (run / "provenance.json").write_text(json.dumps(about))


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def triple_rtts(path: Path) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("srtt_us")
    tripled = pc.multiply(table.column(place), pa.scalar(3, table.schema.field(place).type))
    write_table(table.set_column(place, table.schema.field(place), tripled), path)


def double_bytes(path: Path) -> None:
    document = json.loads(path.read_text())
    document["end"]["sum_sent"]["bytes"] *= 2
    path.write_text(json.dumps(document))


def change_value(path: Path) -> None:
    """Change one value of the last column of a table in which it can be changed, and nothing else."""
    table = pq.read_table(path)
    for place in reversed(range(table.num_columns)):
        field = table.schema.field(place)
        if table.num_rows and pa.types.is_integer(field.type):
            values = table.column(place).to_pylist()
            values[-1] = (values[-1] or 0) ^ 1
            return write_table(table.set_column(place, field, pa.array(values, field.type)), path)
    return write_table(table.append_column("more", pa.nulls(table.num_rows)), path)


def change_any(path: Path) -> None:
    if path.suffix == ".parquet":
        change_value(path)
    elif path.name in ("trial.json", "validity.json"):
        document = json.loads(path.read_text())
        if path.name == "trial.json":
            document["record"]["traffic_end_ns"] += 1
        else:
            document["checks"][0]["found"] += "."
        path.write_text(json.dumps(document))
    else:
        append(path)


@pytest.mark.parametrize("with_digests", [False, True])
def test_a_change_of_any_file_is_found(everything: Path, lab_command: Lab, tmp_path: Path, with_digests: bool) -> None:
    folder = everything / "trials" / "bbr-r1"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert {"trial.json", "validity.json", "log.txt", "tcp_probe.parquet", "iperf3/bulk.client.json"} < set(names)
    assert len(names) > 15
    for name in names:
        copy = tmp_path / name.replace("/", "-") / everything.name
        shutil.copytree(everything, copy)
        doctor(copy, "bbr-r1", name, change_any, with_digests=with_digests)
        # Without new digests, the trial does not have to run again for its change to be found.
        said = lab_command("verify", copy, *([] if with_digests else ["--trials", "1"]))
        assert said.code == 1, name
        assert [line for line in said.lines if line.startswith(f"bbr-r1: {name}: ")], (name, said.out)
        assert "cubic-r1" not in said.out
        alone = "1/1 byte-identical; stored files have changed in bbr-r1"
        assert said.lines[-1] == ("1/2 byte-identical" if with_digests else alone)


def test_tripled_rtts_are_found_with_their_column_and_row(everything: Path, lab_command: Lab) -> None:
    table = everything / "trials" / "cubic-r1" / "tcp_probe.parquet"
    (rtts,) = pq.read_table(table, columns=["srtt_us"]).columns
    first = next(row for row, value in enumerate(rtts.to_pylist()) if value)
    value = rtts[first].as_py()
    doctor(everything, "cubic-r1", "tcp_probe.parquet", triple_rtts, with_digests=False)
    said = lab_command("verify", everything)
    assert said.code == 1
    assert said.lines == [
        f"cubic-r1: tcp_probe.parquet: column srtt_us differs first in row {first}: found {value * 3}, "
        f"expected {value}",
        "1/2 byte-identical",
    ]


def test_doubled_bytes_are_found_with_their_place(everything: Path, lab_command: Lab) -> None:
    path = everything / "trials" / "bbr-r1" / "iperf3" / "bulk.client.json"
    amount = json.loads(path.read_text())["end"]["sum_sent"]["bytes"]
    doctor(everything, "bbr-r1", "iperf3/bulk.client.json", double_bytes, with_digests=True)
    said = lab_command("verify", everything)
    assert said.code == 1
    assert (f"bbr-r1: iperf3/bulk.client.json: end.sum_sent.bytes: found {amount * 2}, expected {amount}") in said.lines


def test_files_that_are_missing_or_too_many_are_named(everything: Path, lab_command: Lab) -> None:
    trials = everything / "trials"
    (trials / "bbr-r1" / "backlog.parquet").unlink()
    (trials / "bbr-r1" / "iperf3" / "more.json").write_text("{}")
    (trials / "cubic-r1" / "validity.json").unlink()
    shutil.copytree(trials / "cubic-r1", trials / "other-r1")
    said = lab_command("verify", everything)
    assert said.code == 1
    assert said.lines == [
        "cubic-r1: validity.json: is missing; `lab report` writes it anew",
        "bbr-r1: backlog.parquet: is missing",
        "bbr-r1: iperf3/more.json: is not a file of this trial",
        "other-r1: trial.json: the trial is not in plan.json",
        "0/2 byte-identical; stored files have changed in other-r1",
    ]


def test_a_trial_that_is_missing_or_cannot_be_read_is_named(run: str, lab_command: Lab) -> None:
    trials = Path(run) / "trials"
    shutil.rmtree(trials / "queue-pfifo-20p-r1")
    (trials / "queue-pfifo-20p-r2" / "trial.json").write_text("{")
    said = lab_command("verify", run)
    assert said.code == 1
    assert said.lines[0] == "queue-pfifo-20p-r1: trial.json: the trial is missing, with all of its files"
    assert said.lines[1].startswith("queue-pfifo-20p-r2: trial.json: ")
    assert "trial.json is damaged" in said.lines[1]
    # The rows of metrics.parquet are those of all four trials.
    assert said.lines[2].startswith("run: metrics.parquet: has rows of queue-pfifo-20p-r1, queue-pfifo-20p-r2, ")
    assert said.lines[-1] == (
        "2/2 byte-identical; stored files have changed in queue-pfifo-20p-r1, queue-pfifo-20p-r2, run"
    )


def test_changes_of_trials_that_do_not_run_again_are_found_too(run: str, lab_command: Lab) -> None:
    doctor(Path(run), "queue-fq_codel-100p-r2", "accounts.parquet", change_value, with_digests=False)
    said = lab_command("verify", run, "--trials", "1")
    assert said.code == 1
    assert said.lines == [
        "queue-fq_codel-100p-r2: accounts.parquet: does not have its digest in trial.json",
        "1/1 byte-identical; stored files have changed in queue-fq_codel-100p-r2",
    ]


def test_a_changed_metric_is_found(run: str, lab_command: Lab) -> None:
    path = Path(run) / "metrics.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("goodput_bps")
    rates = [rate * 2 if row == 1 else rate for row, rate in enumerate(table.column(place).to_pylist())]
    write_table(table.set_column(place, table.schema.field(place), pa.array(rates)), path)
    said = lab_command("verify", run, "--trials", "1")
    assert said.code == 1
    trial = table.column("trial")[1].as_py()
    assert said.lines[0].startswith(f"{trial}: metrics.parquet: in its rows, column goodput_bps differs first in row ")
    assert lab_command("report", run).code == 0
    assert lab_command("verify", run, "--trials", "1").code == 0


def test_a_change_of_what_was_asked_for_is_found(run: str, lab_command: Lab) -> None:
    folder = Path(run)
    for name in ("experiment.yaml", "plan.json"):
        with (folder / name).open("a") as file:
            file.write("\n")
    (folder / "inputs" / "more").mkdir(parents=True)
    (folder / "inputs" / "more" / "trace").touch()
    said = lab_command("verify", run, "--trials", "1")
    assert said.code == 1
    assert said.lines == [
        "run: experiment.yaml: does not have its digest in provenance.json",
        "run: inputs/more/trace: is not a file of the run",
        "run: plan.json: does not have its digest in provenance.json",
        "1/1 byte-identical; stored files have changed in run",
    ]
    (folder / "experiment.yaml").unlink()
    assert lab_command("verify", run, "--trials", "1").code == 2


def test_an_interrupted_run_without_a_report_can_be_verified(run: str, lab_command: Lab) -> None:
    (Path(run) / "metrics.parquet").unlink()
    shutil.rmtree(Path(run) / "report")
    for path in Path(run).glob("trials/*/validity.json"):
        path.unlink()
    said = lab_command("verify", run, "--trials", "1")
    assert (said.code, said.lines) == (0, ["1/1 byte-identical"])


def test_changes_in_a_run_in_real_time_are_found(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [InRealTime(RECORDS)]
    run = lab_command("run", EXPERIMENTS / "native.yaml").lines[-1]
    doctor(Path(run), "reno-r1", "accounts.parquet", change_value, with_digests=False)
    said = lab_command("verify", run)
    assert said.code == 1
    assert "reno-r1: accounts.parquet: does not have its digest in trial.json" in said.lines
    assert said.lines[-1] == "2/2 agree; stored files have changed in reno-r1"


def test_a_repetition_that_fails_in_real_time_is_exit_code_3(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [InRealTime(RECORDS)]
    run = lab_command("run", EXPERIMENTS / "native.yaml").lines[-1]

    class Dying(Changing):
        name = "native"
        is_exact = False

    engines[:] = [Dying(die)]
    said = lab_command("verify", run)
    assert said.code == 3
    assert said.err.count("lab: the repeated trial cubic-r1 failed: the virtual machine ended") == 1
    assert said.lines[-1] == "0/2 agree; 2 cannot be compared"
