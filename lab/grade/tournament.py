# SPDX-License-Identifier: Apache-2.0
"""A tournament: every two submissions, and each with the kernel's algorithms, share a link."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.api.results import load
from lab.engine.base import Step
from lab.errors import LabError
from lab.grade.assignment.read import Loaded
from lab.grade.grading import WORK, Options, shared_out
from lab.grade.result.duels import Duel, Table, tournament_page
from lab.grade.scenario.pool import run_tasks
from lab.grade.scenario.task import RUNS, Report, Task, read_report
from lab.grade.submission.intake import Submission
from lab.grade.submission.stage import lay_out
from lab.store.files import to_json, write_file, writing
from lab.store.folders import remove_folder, scratch_folder
from lab.version import version

__all__ = ["play"]

PLAYERS = "players"
"""The folder, in that of the assignment's files, with the sources of all players."""


def play(loaded: Loaded, submissions: Sequence[Submission], options: Options, step: Step) -> Table:
    """Let all submissions that can be used meet each other, and write ``tournament.html`` and ``tournament.json``.

    Raises:
        MachineryError: The results cannot be written.
    """
    cup = loaded.assignment.tournament
    assert cup is not None, "the command has looked at it"
    (name,) = [name for name, one in loaded.assignment.submission.items() if one.kind == "congestion control"]
    usable = {one.name: one.files[name] for one in submissions if not one.problems and name in one.files}
    kernel = tuple(one for one in cup.against if one not in usable)
    players = (*usable, *kernel)
    pairs = [
        (first, second)
        for number, first in enumerate(players)
        for second in players[number:]
        if first in usable or second in usable
    ]
    with scratch_folder("tournament", step) as scratch:
        ways = _lay_out_players(loaded, usable, scratch)
        tasks = {pair: _task(loaded, scratch, pair, ways, usable, options) for pair in pairs}
        reports = _played(list(tasks.values()), options)
    duels = tuple(_duel(loaded, pair, reports[task.name], Path(task.output)) for pair, task in tasks.items())
    table = Table(loaded.assignment.title, players, kernel, duels)
    write_file(options.output / "tournament.html", tournament_page(table).encode(errors="replace"))
    write_file(options.output / "tournament.json", to_json(table.document()))
    return table


def _lay_out_players(loaded: Loaded, usable: Mapping[str, bytes], folder: Path) -> dict[str, dict[str, str]]:
    """Write the assignment and the sources of all players to *folder*; return the value of ``cc`` for each player.

    Players get names of their own in the kernel, because students may call their algorithms the same.
    """
    cup = loaded.assignment.tournament
    assert cup is not None
    lay_out(loaded, loaded.starter, folder)
    up = "../" * cup.file.count("/")
    ways = {}
    with writing(folder):
        (folder / PLAYERS).mkdir()
        for number, (player, data) in enumerate(usable.items(), 1):
            (folder / PLAYERS / f"player{number}.bpf.c").write_bytes(data)
            ways[player] = {"name": f"player{number}", "source": f"{up}{PLAYERS}/player{number}.bpf.c"}
    return ways


def _task(
    loaded: Loaded,
    stage: Path,
    pair: tuple[str, str],
    ways: Mapping[str, Mapping[str, str]],
    usable: Mapping[str, bytes],
    options: Options,
) -> Task:
    cup = loaded.assignment.tournament
    assert cup is not None
    fields = [dict(ways.get(player, {})) or player for player in pair]
    if pair[0] == pair[1] and isinstance(fields[1], dict):
        # A kernel has only one algorithm of each name.
        fields[0] = {**fields[1], "name": "itself"}
    overrides = [f"{path}={json.dumps(value)}" for path, value in zip((cup.first, cup.second), fields, strict=True)]
    players = [hashlib.sha256(usable.get(player, player.encode())).hexdigest() for player in pair]
    files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(loaded.files.items())}
    about = [version(), cup.model_dump(mode="json"), overrides, players, files, options.engine, dict(options.bundles)]
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    name = f"{players[0][:12]}-{players[1][:12]}"
    return Task(
        name=name,
        stage=str(stage),
        experiment=cup.file,
        overrides=overrides,
        rubric={},
        answers={},
        output=str(options.output.absolute() / WORK / "tournament" / name),
        processors=[],
        wall_s=loaded.assignment.limits.scenario / 1e9,
        read_cache=options.read_cache,
        key=key,
        engine=options.engine,
        bundles=sorted(options.bundles.values()),
    )


def _played(tasks: Sequence[Task], options: Options) -> dict[str, Report]:
    """Return the report of each task, by its name; what has been played before is read."""
    reports: dict[str, Report] = {}
    waiting: dict[str, Task] = {}
    for task in tasks:
        folder = Path(task.output)
        kept = read_report(folder) if options.read_cache else None
        if kept is not None and kept.key == task.key and kept.is_final:
            reports[task.name] = kept
        elif task.name not in waiting:
            remove_folder(folder)
            with writing(folder):
                folder.mkdir(parents=True)
            waiting[task.name] = task

    def done(task: Task, report: Report) -> None:
        reports[task.name] = report

    asyncio.run(run_tasks(list(waiting.values()), shared_out(options.processors, len(waiting)), done))
    return reports


def _duel(loaded: Loaded, pair: tuple[str, str], report: Report, folder: Path) -> Duel:
    """Return what a duel has measured."""
    first, second = pair
    reason = report.message or next((one["reason"] for one in report.failures.values()), "")
    if report.status != "run" or report.failures:
        return Duel(first, second, None, None, None, None, reason.partition("\n")[0])
    cup = loaded.assignment.tournament
    assert cup is not None
    flows = [path.split(".")[1] for path in (cup.first, cup.second)]
    try:
        (run,) = (folder / RUNS).glob("*/latest")
        metrics = load(run).metrics
    except (LabError, ValueError, OSError) as error:
        return Duel(first, second, None, None, None, None, str(error).partition("\n")[0])

    def mean(column: str, flow: str) -> float | None:
        values: list[Any] = metrics.filter(metrics["group"] == flow)[column].drop_nulls().to_list()
        return math.fsum(values) / len(values) if values else None

    return Duel(
        first,
        second,
        mean("goodput_bps", flows[0]),
        mean("goodput_bps", flows[1]),
        mean("jain_index", flows[0]),
        mean("utilisation", flows[0]),
    )
