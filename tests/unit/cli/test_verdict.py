# SPDX-License-Identifier: Apache-2.0
"""The end of ``lab run``: what its last lines and its exit code say of trials that are invalid."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from pathlib import Path
from typing import Any

from lab.engine.base import Engine
from lab.engine.replay import ReplayEngine
from tests.data.capture import EXPERIMENTS, RECORDS
from tests.unit.cli.conftest import Changing, Lab

UDP = EXPERIMENTS / "udp.yaml"
FAILED = EXPERIMENTS / "failed.yaml"
CHECKS_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "checks.md"


def another_mtu(directory: Path) -> None:
    """Let the first repetitions have read back another MTU than the experiment asks for."""
    if not directory.name.endswith("-r1"):
        return
    path = directory / "record.json"
    document: dict[str, Any] = json.loads(path.read_text())
    for interface in document["interfaces"]:
        interface["mtu"] = 1280
    path.write_text(json.dumps(document))


def without_short_flows(directory: Path) -> None:
    path = directory / "record.json"
    document: dict[str, Any] = json.loads(path.read_text())
    document["flows"] = [flow for flow in document["flows"] if flow["client_json"]]
    path.write_text(json.dumps(document))


def test_invalid_trials_are_exit_code_1_and_the_last_lines_say_which_check(
    engines: list[Engine], lab_command: Lab
) -> None:
    engines[:] = [Changing(another_mtu)]
    said = lab_command("run", UDP, "--no-cache")
    assert said.code == 1
    (run,) = said.lines
    first, last = said.err.splitlines()[-2:]
    what = "lab: invalid: 2 of 4 trials did not pass the check mtu (MTU), such as queue-pfifo-20p-r1: expected 1500 B"
    assert first.startswith(f"{what}, found 1280 B at ")
    assert first.endswith("; see docs/reference/checks.md#mtu")
    assert "{ #mtu }" in CHECKS_PAGE.read_text()
    assert last == (
        f"lab: 2 of 4 trials are invalid and did not measure what the experiment asks for; see {run}/report/index.html"
    )


def test_invalid_trials_can_be_allowed(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [Changing(another_mtu)]
    said = lab_command("run", UDP, "--allow-invalid")
    assert said.code == 0
    assert "lab: 2 of 4 trials are invalid" in said.err


def test_a_run_without_any_result_is_exit_code_1(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [Changing(without_short_flows)]
    said = lab_command("run", EXPERIMENTS / "short_flows.yaml")
    assert said.code == 1
    assert "did not pass the check readable (Results are readable)" in said.err
    assert "expected results that can be evaluated, found flow 'web' is missing from the record" in said.err
    assert "lab: no trial has results, so the report compares nothing" in said.err


def test_a_failed_trial_prevails_over_an_invalid_one(engines: list[Engine], lab_command: Lab) -> None:
    engines[:] = [Changing(another_mtu)]
    for options in ([], ["--allow-invalid"]):
        said = lab_command("run", FAILED, *options)
        assert said.code == 3
        assert "lab: 1 of 1 trial is invalid" in said.err
        assert said.err.endswith("lab: 1 of 2 trials failed\n")


def test_notes_are_stored_and_the_report_shows_them_and_the_whole_command(
    engines: list[Engine], lab_command: Lab
) -> None:
    checked = lab_command("check", UDP)
    notes = [line.removeprefix("  note").strip() for line in checked.lines if line.startswith("  note")]
    assert notes
    said = lab_command("run", UDP, "--set", "title=Two queues", "--engine", "vm")
    run = Path(said.lines[-1])
    stored = json.loads((run / "provenance.json").read_text())
    assert stored["notes"][: len(notes)] == notes
    page, summary = ((run / "report" / name).read_text() for name in ("index.html", "summary.md"))
    for note in stored["notes"]:
        assert note in page.replace("&#39;", "'")
        assert f"- {note}" in summary.replace("\\", "")
    command = "lab run experiment.yaml --set 'title=Two queues' --engine vm"
    assert command in summary
    assert command in page.replace("&#39;", "'")
    # The command is true: in the folder of the run, it gives the same results.
    again = lab_command("run", run / "experiment.yaml", *shlex.split(command)[3:])
    assert (again.code, again.lines[-1] != str(run)) == (said.code, True)
    other = json.loads((Path(again.lines[-1]) / "provenance.json").read_text())
    assert other["results_digest"] == stored["results_digest"]
    assert other["overrides"] == ["title=Two queues", "engine=vm"]


def test_a_long_command_is_on_several_lines(engines: list[Engine], lab_command: Lab) -> None:
    title = "A title that is so long that the command does not fit on one line of the page"
    said = lab_command("run", UDP, "--set", f"title={title}", "--set", "description=Queues", "--engine", "vm")
    summary = (Path(said.lines[-1]) / "report" / "summary.md").read_text()
    command = summary[summary.index("lab run experiment.yaml") : summary.index("lab verify .")]
    assert command.count("\n") == 4
    expected = ["--set", f"title={title}", "--set", "description=Queues", "--engine", "vm"]
    assert shlex.split(command.replace("\\\n", "")) == ["lab", "run", "experiment.yaml", *expected]


def test_an_interrupted_run_says_only_if_it_can_that_it_continues(engines: list[Engine], lab_command: Lab) -> None:
    class Interrupted(ReplayEngine):
        async def run(self, *_arguments: object) -> None:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)

    class InterruptedInRealTime(Interrupted):
        is_exact = False

    engines[:] = [Interrupted(RECORDS)]
    said = lab_command("run", UDP, "--jobs", "1")
    assert said.code == 130
    assert "0 of 4 trials are finished and kept; the same command continues with the others" in said.err
    for engine, options in ((Interrupted(RECORDS), ["--no-cache"]), (InterruptedInRealTime(RECORDS), [])):
        engines[:] = [engine]
        said = lab_command("run", UDP, "--jobs", "1", *options)
        assert said.code == 130
        assert "continues" not in said.err
        assert "; the same command runs all of them again" in said.err
