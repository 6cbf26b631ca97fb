# SPDX-License-Identifier: Apache-2.0
"""A stored run as a Python object: its metrics and traces as data frames, and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from lab.analysis.metrics import FlowMetrics
from lab.api.frames import TRIAL, collected, columns_of, known, lazy, listed, read, units_in
from lab.api.summary import RunSummary, state_of, summary_of, verdict_of
from lab.api.view import View
from lab.errors import StoreError, UnknownNameError
from lab.evaluation.axes import RunAxis, axes_of
from lab.evaluation.expectations.judge import entries_of, judged
from lab.evaluation.trial import EvaluatedTrial, evaluate_run, evaluate_trial, run_metrics
from lab.store import run as store
from lab.store.folders import finished_folders
from lab.store.trial import TrialResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Trials = str | Iterable[str] | None
"""One trial, several of them (also a column of a data frame), or all (None)."""


def load(path: str | Path) -> Run:
    """Return the run in the folder *path*, which may also be a link to it such as ``results/my_first/latest``.

    Of a run that has not ended, the trials that are finished now can be read.

    Raises:
        InputError: *path* is not the folder of a run; the message says what is missing.
    """
    return Run(store.open_run(Path(path)))


class Run:
    """A stored run.

    What has been read is kept: to see what has changed in the folder since, load the run again.  All methods and
    properties raise :class:`~lab.errors.StoreError` if a file of the run is missing or damaged.
    """

    def __init__(self, stored: store.Run) -> None:
        self._stored = stored

    # --- what the run is ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self._stored.path

    @property
    def id(self) -> str:
        """The name of the run among those of its experiment: the UTC time of its start and a random part."""
        return self._stored.id

    @property
    def experiment(self) -> str:
        """The name of the experiment."""
        return str(self._stored.plan.get("name") or self._stored.experiment)

    @property
    def title(self) -> str:
        """The title of the experiment, or else its name."""
        return str(self._stored.plan.get("title") or self.experiment)

    @property
    def experiment_text(self) -> str:
        """The experiment file, as it was given to ``lab run``."""
        try:
            return self._stored.experiment_text.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"cannot read {self.path / 'experiment.yaml'}: {error}") from error

    @property
    def state(self) -> str:
        """``complete``, ``failed``, ``interrupted``, ``running`` or ``unfinished`` (it was killed, or nobody can tell
        whether it still runs)."""
        return state_of(self._stored)

    @cached_property
    def plan(self) -> View:
        """The plan, read-only: every trial with concrete values for all fields."""
        return View(self._stored.plan)

    @cached_property
    def provenance(self) -> View:
        """The command, and versions and digests of what the results depend on; read-only, empty until the run ends."""
        return View(self._stored.provenance)

    @property
    def summary(self) -> RunSummary:
        """What ``lab list`` shows of the run; ``summary.trials`` maps ``ok``, ``warn`` and so on to a number."""
        return summary_of(self._stored)

    # --- trials ---------------------------------------------------------------------------------------

    @cached_property
    def trials(self) -> pl.DataFrame:
        """The trials of the plan in its order, with a column for each axis of the matrix.

        The values of the axes are texts, in the same columns as in :attr:`metrics`.  ``status`` is ``ok``, ``failed``
        or ``missing`` (not run), ``verdict`` that of the checks (null if the trial is not ``ok``), and ``error`` says
        why a trial failed.
        """
        stored = {trial.id: trial for trial in self._results}
        cells = {cell["id"]: cell["values"] for cell in self._stored.plan.get("cells", [])}
        verdicts = self._verdicts
        rows = []
        for planned in self._stored.plan.get("trials", []):
            found = stored.pop(planned["id"], None)
            identity = (planned["id"], planned.get("repetition"), planned.get("seed"))
            rows.append(self._row(identity, cells.get(planned.get("cell"), {}), found, verdicts))
        for trial in stored.values():
            identity = (trial.id, trial.identity.repetition, trial.identity.seed)
            rows.append(self._row(identity, trial.cell, trial, verdicts))
        numbers = ("repetition", "seed")
        names = [TRIAL, *numbers, *map(_column, self._axes), "status", "verdict", "error"]
        schema = {name: pl.Int64 if name in numbers else pl.String for name in names}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _row(
        self, identity: tuple[Any, ...], cell: dict[str, Any], found: TrialResult | None, verdicts: dict[str, str]
    ) -> list[Any]:
        values = [axis.text(cell.get(axis.path)) for axis in self._axes]
        status = "missing" if found is None else found.status
        return [*identity, *values, status, verdicts.get(identity[0]), None if found is None else found.error]

    @cached_property
    def expectations(self) -> pl.DataFrame:
        """The outcome of the expectations: ``name``, ``that`` (the condition), ``verdict`` (``met``, ``not met``,
        ``cannot be judged``), and of the case that decides ``cell``, ``flow``, ``observed``, ``interval``,
        ``expected``, ``margin`` and ``reason``, as texts.  ``cases`` is the number of cases."""
        found = judged(self._stored.plan, self._evaluated, entries_of(self._stored.plan, str(self.path / "plan.json")))
        fields = ("observed", "interval", "expected", "margin", "reason")
        rows = []
        for one in found:
            case = one.worst
            own = [getattr(case, name) for name in fields] if case else ["", "", "", "", one.reason]
            where = [case.where, case.flow] if case else ["", ""]
            rows.append([one.entry.title, one.entry.that, one.verdict, *where, *own, len(one.cases)])
        names = ("name", "that", "verdict", "cell", "flow", *fields)
        schema = {**dict.fromkeys(names, pl.String), "cases": pl.Int64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def checks(self) -> pl.DataFrame:
        """The checks of each finished trial: ``trial``, ``id``, ``title``, ``verdict``, ``asked``, ``found``,
        ``threshold`` and ``meaning``."""
        names = ("id", "title", "verdict", "asked", "found", "threshold", "meaning")
        rows = [
            [trial_id, *(check.get(name) for name in names)]
            for trial_id, checks in self._checks.items()
            for check in checks
        ]
        return pl.DataFrame(rows, schema=dict.fromkeys((TRIAL, *names), pl.String), orient="row")

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """The metrics: one row per flow and trial, with a column for each axis of the matrix.

        ``docs/reference/metrics.md`` says what the columns mean.  They are computed if ``metrics.parquet`` is not
        there, as in an interrupted run; of a run that has ended, they are then also stored.
        """
        path = self.path / "metrics.parquet"
        if path.exists():
            return read(path)
        rows, schema = run_metrics(self._stored, self._evaluated)
        found = pl.from_arrow(store.metrics_table(rows, schema))
        assert isinstance(found, pl.DataFrame)
        return found

    # --- traces ---------------------------------------------------------------------------------------

    @cached_property
    def collectors(self) -> tuple[str, ...]:
        """The names of what was recorded, which :meth:`trace` takes: those of the collectors and of the tables that
        each trial has."""
        return tuple(sorted({path.stem for trial in self._results if trial.ok for path in _tables(trial)}))

    def trace(
        self,
        collector: str,
        trial: Trials = None,
        *,
        flow: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return what *collector* recorded in *trial*, in order of time.

        With several trials, or without any, which means all finished ones, the first column is ``trial``.  *flow*
        limits the rows to those of a flow, a group of short flows or a latency probe; *columns* names the columns to be
        read.

        Raises:
            UnknownNameError: There is no such collector, trial, flow or column; the message has the nearest name.
        """
        trials = self._with(collector, trial)
        frame = self._scan(collector, trials, named=not isinstance(trial, str))
        if flow is not None:
            frame = frame.filter(self._of_flow(collector, trials, flow))
        if columns is not None:
            there = columns_of(frame, self.path / "trials")
            wanted = [columns] if isinstance(columns, str) else list(columns)
            for name in wanted:
                known("column", name, there, f"{collector} of {self.path}")
            first = [TRIAL] if TRIAL in there and TRIAL not in wanted else []
            frame = frame.select(*first, *wanted)
        return collected(frame, self.path / "trials")

    def scan(self, collector: str, trial: Trials = None) -> pl.LazyFrame:
        """Return what *collector* recorded as a polars ``LazyFrame``.

        Only the columns and rows that a query needs are read, when its ``collect()`` is called.  *trial* and the column
        ``trial`` are those of :meth:`trace`.

        Raises:
            UnknownNameError: There is no such collector or trial; the message has the nearest name.
        """
        return self._scan(collector, self._with(collector, trial), named=not isinstance(trial, str))

    def units(self, collector: str) -> dict[str, str]:
        """Return the columns of *collector*, each with its unit; the unit is empty for names and plain numbers.

        Raises:
            UnknownNameError: There is no such collector.
        """
        return units_in(_table(self._with(collector, None)[0], collector))

    def _with(self, collector: str, trial: Trials) -> list[TrialResult]:
        """Return the chosen trials, each of which has the table *collector*."""
        if trial is None:
            known("collector", collector, self.collectors, str(self.path))
            return [found for found in self._results if found.ok and _table(found, collector).exists()]
        chosen = self._chosen(trial)
        for found in chosen:
            known(
                "collector", collector, [path.stem for path in _tables(found)], f"the trial {found.id} of {self.path}"
            )
        return chosen

    def _chosen(self, trial: str | Iterable[str]) -> list[TrialResult]:
        chosen = [self._trial(name) for name in ([trial] if isinstance(trial, str) else trial)]
        if not chosen:
            raise UnknownNameError(f"found an empty list of trials {listed(self._stored.planned_ids())}")
        return chosen

    def _trial(self, name: str) -> TrialResult:
        """Return the finished trial *name*; only its own files are read, because a run may have thousands of trials."""
        known("trial", name, self._names, str(self.path))
        if not (self.path / "trials" / name).exists():
            raise UnknownNameError(f"the trial {name} of {self.path} has not been run")
        found = self._stored.trial(name)
        if not found.ok:
            raise UnknownNameError(f"the trial {name} of {self.path} failed: {found.error}")
        return found

    @staticmethod
    def _scan(collector: str, trials: list[TrialResult], *, named: bool) -> pl.LazyFrame:
        parts = [lazy(_table(found, collector), found.id if named else None) for found in trials]
        # Cells may differ in what a collector records.
        return parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal_relaxed")

    def _of_flow(self, collector: str, trials: list[TrialResult], flow: str) -> pl.Expr:
        """Return the condition that a row belongs to *flow*, which may be a group of short flows or a probe."""
        table = _table(trials[0], collector)
        columns = columns_of(lazy(table), table)
        column = next((name for name in ("flow", "group", "probe") if name in columns), None)
        if column is None:
            raise UnknownNameError(f"the rows of {collector} belong to no flow, so they have no flow {flow!r}")
        names: dict[str, None] = {}
        for found in trials:
            asked: Sequence[Any] = found.job["probes"] if column == "probe" else found.job["flows"]
            names |= dict.fromkeys(one["name"] for one in asked)
        known("probe" if column == "probe" else "flow", flow, names, str(self.path))
        return pl.col(column) == flow

    # --- figures --------------------------------------------------------------------------------------

    @cached_property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that the report of this run has, in its order."""
        from lab.report.figures.draw import all_figures
        from lab.report.model import Report

        return tuple(drawn.name for _section, drawn in all_figures(Report(self._stored, self._evaluated)))

    def figure(self, name: str) -> Figure:
        """Return a figure of the report, drawn anew, as a matplotlib ``Figure`` that may be changed and saved.

        In a notebook it shows itself.  :attr:`figures` has the names.

        Raises:
            UnknownNameError: The run has no such figure; the message has the nearest name.
        """
        from lab.api.shown import showing
        from lab.report.figures.draw import figure_named
        from lab.report.model import Report

        found = figure_named(Report(self._stored, self._evaluated), name)
        if found is None:
            known("figure", name, self.figures, str(self.path))
            raise AssertionError("figures and figure_named() know the same figures")
        return showing(found)

    @property
    def report(self) -> Path | None:
        """The page of the report; None if it has not been written."""
        page = self._stored.report_dir / "index.html"
        return page if page.exists() else None

    # --- formats of other tools -----------------------------------------------------------------------

    def to_pcap(self, folder: str | Path = "export", trial: Trials = None) -> list[Path]:
        """Write what the collector ``packets`` recorded as a pcapng file for each trial; return their paths.

        Raises:
            InputError: There is no such trial, or a trial ran without the collector ``packets``.
        """
        return self._export("pcap", folder, trial)

    def to_flent(self, folder: str | Path = "export", trial: Trials = None) -> list[Path]:
        """Write a data file of flent (``.flent.gz``) for each trial; return their paths.

        Raises:
            InputError: There is no such trial, or a trial has no TCP flow.
        """
        return self._export("flent", folder, trial)

    def to_csv(
        self, folder: str | Path = "export", trial: Trials = None, *, collectors: Sequence[str] | None = None
    ) -> list[Path]:
        """Write the metrics and the tables of all trials as CSV; return the paths.

        *trial* and *collectors* limit this to the tables of some trials or collectors, without the metrics.

        Raises:
            InputError: There is no such trial or collector.
        """
        return self._export("csv", folder, trial, collectors or ())

    def to_tcpprobe(self, folder: str | Path = "export", trial: Trials = None) -> list[Path]:
        """Write what each sender's ``tcp_probe`` recorded in the format of the kernel's former tcpprobe module.

        Return the paths: one file for each trial and flow.

        Raises:
            InputError: There is no such trial, or a trial ran without the collector ``tcp_probe``.
        """
        return self._export("tcpprobe", folder, trial)

    def _export(self, name: str, folder: str | Path, trial: Trials, collectors: Sequence[str] = ()) -> list[Path]:
        from lab.export.formats import export

        trials = [] if trial is None else [found.id for found in self._chosen(trial)]
        return export(self._stored, name, Path(folder), trials, collectors)

    # --- how it shows itself --------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Run {self.experiment} {self.id}: {self.state}>"

    def _repr_html_(self) -> str:
        from lab.api.shown import html_of

        axes = [(axis.label, [axis.text(value) for value in axis.values]) for axis in self._axes]
        return html_of(self.title, self.summary, axes, self.report)

    # --- what is kept ---------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> list[str]:
        """The ids of the planned trials, and of those that are stored without being in the plan."""
        stored = (path.name for path in finished_folders(self.path / "trials"))
        return list(dict.fromkeys((*self._stored.planned_ids(), *stored)))

    @cached_property
    def _results(self) -> list[TrialResult]:
        return list(self._stored.trials())

    @cached_property
    def _axes(self) -> list[RunAxis]:
        return axes_of(self._stored.plan, self._results)

    @cached_property
    def _evaluated(self) -> list[EvaluatedTrial]:
        """The trials with their metrics, checks and curves."""
        if self._stored.provenance and not (self.path / "metrics.parquet").exists():
            try:
                return evaluate_run(self._stored)
            except StoreError as error:
                if not isinstance(error.__cause__, OSError):
                    raise  # A trial is damaged.  Otherwise the folder cannot be written, which is no reason to stop.
        return [evaluate_trial(trial) for trial in self._results]

    @cached_property
    def _checks(self) -> dict[str, list[dict[str, Any]]]:
        """The checks of each finished trial: those that are stored, or else made now."""
        stored = {trial.id: trial.validity for trial in self._results if trial.ok}
        if None not in stored.values():
            return {trial_id: checks or [] for trial_id, checks in stored.items()}
        return {
            result.trial.id: [vars(check) for check in result.checks] for result in self._evaluated if result.trial.ok
        }

    @property
    def _verdicts(self) -> dict[str, str]:
        return {trial_id: verdict_of(checks) for trial_id, checks in self._checks.items()}


def _tables(trial: TrialResult) -> Iterator[Path]:
    """Yield the Parquet files of a trial."""
    return (path for path in sorted(trial.path.glob("*.parquet")) if not path.name.startswith("."))


def _table(trial: TrialResult, collector: str) -> Path:
    return trial.path / f"{collector}.parquet"


def _column(axis: RunAxis) -> str:
    """Return the name of an axis's column, which is the same as in the metrics."""
    return f"axis_{axis.label}" if axis.label in _TAKEN else axis.label


_TAKEN = FlowMetrics.__dataclass_fields__.keys() | {TRIAL, "repetition", "seed", "verdict"}
"""The columns of metrics that are not axes."""
