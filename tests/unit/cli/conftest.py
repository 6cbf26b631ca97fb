# SPDX-License-Identifier: Apache-2.0
"""The ``lab`` command in this process, with an engine that plays captured records back."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from lab.cli import main
from lab.engine.base import Engine, VirtualTime
from lab.engine.replay import ReplayEngine
from lab.errors import LostVMError
from lab.job.protocol import Job
from lab.plan.plan import Plan
from tests.data.capture import RECORDS


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Lab = Callable[..., Said]


class InRealTime(ReplayEngine):
    """Says of itself that nothing comes out the same twice."""

    name = "native"
    is_exact = False
    most_at_a_time: int | None = 1


class Changing(ReplayEngine):
    """Changes what it plays back."""

    def __init__(self, change: Callable[[Path], None]) -> None:
        super().__init__(RECORDS)
        self._change = change

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        await super().run(job, directory, worker, on_time)
        self._change(directory)


def die(directory: Path) -> None:
    raise LostVMError("the virtual machine ended")


def quick(_figure: Figure, folder: Path, name: str) -> None:
    """Instead of drawing a figure: how they are drawn is tested elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("svg", "pdf", "png"):
        (folder / f"{name}.{suffix}").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt"/>')


def provenance(run: str) -> dict[str, Any]:
    """What a run has stored about its origin."""
    found: dict[str, Any] = json.loads((Path(run) / "provenance.json").read_text())
    return found


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines that commands take, one after the other, the last of them again and again."""
    found: list[Engine] = [ReplayEngine(RECORDS)]
    engines_of_commands(monkeypatch, found)
    return found


def engines_of_commands(monkeypatch: pytest.MonkeyPatch, found: list[Engine]) -> None:
    """Let commands take the engines in *found*, one after the other, and the last of them again and again."""

    def named(_name: str, _plan: Plan, _packages: Mapping[str, Path]) -> Engine:
        return found.pop(0) if len(found) > 1 else found[0]

    monkeypatch.setattr("lab.cli.running.run.engine_named", named)
    monkeypatch.setattr("lab.cli.results.bisect.engine_named", named)
    monkeypatch.setattr("lab.cli.running.confirm.engine_named", named)
    monkeypatch.setattr("lab.cli.results.runs.engine_named", named)
    monkeypatch.setattr("lab.cli.machine.prepare.engine_named", named)


@pytest.fixture(scope="session")
def drawn_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of figures that tests share, because most of them make the same reports."""
    return tmp_path_factory.mktemp("figures")


@pytest.fixture
def lab_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn_before: Path
) -> Iterator[Lab]:
    """Runs ``lab`` with a cache of its own, but for the figures, and in a folder of its own."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lab.store.places.figures", lambda: drawn_before)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab.report.figures.saving.save", quick)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object) -> Said:
        texts = [str(argument) for argument in arguments]
        monkeypatch.setattr("sys.argv", ["lab", *texts])
        capsys.readouterr()
        code = main(texts)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
