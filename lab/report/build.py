# SPDX-License-Identifier: Apache-2.0
"""Build the report of a run: figures, tables, an HTML page and a summary in Markdown."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from lab.errors import StoreError
from lab.evaluation.expectations.document import document
from lab.evaluation.expectations.judge import entries_of, judged
from lab.evaluation.trial import evaluate_run
from lab.report.answer.document import answer_document
from lab.report.figures.cache import FigureCache
from lab.report.figures.picture import Picture
from lab.report.model import Report
from lab.report.page.content import page_content, page_only
from lab.report.page.expectations import expectations
from lab.report.page.render import render_page, render_summary
from lab.report.tables.results import write_tables
from lab.store.files import cause_of, to_json
from lab.store.folders import new_folder
from lab.store.run import open_run

COMPARISON = "comparison"
"""The name, without suffix, of the files in which ``lab run --baseline`` writes its comparison into the report."""
COMPARISON_SUFFIXES = (".html", ".md", ".json")


def build_report(
    run_dir: Path,
    figure_cache: Path | None = None,
    warn: Callable[[str], None] = lambda _line: None,
    *,
    will_be_compared: bool = False,
) -> Path:
    """Evaluate the stored run *run_dir*, build its ``report`` folder anew, and return the path of ``index.html``.

    Drawing the figures takes most of the time.  Figures that the same code has drawn from the same results before are
    therefore copied from the folder *figure_cache*, and new figures are added to it.  If that is not possible, the
    report is complete all the same, and *warn* is called with a line that says so.

    A comparison with a baseline, which the folder has from the run, is kept, and the page links it.  With
    *will_be_compared*, the page links the comparison that the caller writes into the folder next.

    Raises:
        InputError: *run_dir* is not a run folder.
        StoreError: A trial is damaged, or the report cannot be written.
    """
    run = open_run(run_dir)
    report = Report(run, evaluate_run(run))
    final = run.report_dir
    with new_folder(final, if_there="replace") as folder:
        cache = FigureCache(figure_cache, run) if figure_cache is not None else None
        pictures = _figures(report, folder / "figures", cache, warn)
        write_tables(report, folder / "tables")
        outcomes = judged(run.plan, report.evaluated, entries_of(run.plan, str(run.path / "plan.json")))
        is_compared = _keep_comparison(final, folder) or will_be_compared
        content = {**page_content(report), **expectations(outcomes), "is_compared": is_compared}
        only_page = page_only(report, pictures, folder / "figures")
        (folder / "index.html").write_text(render_page({**content, **only_page}), encoding="utf-8")
        table = (content["columns"], content["lines"], content["marks"])
        answer = answer_document(report.facet_axes, content["answer"], *table)
        (folder / "answer.json").write_bytes(to_json(answer))
        if outcomes:
            (folder / "expectations.json").write_bytes(to_json(document(outcomes)))
        (folder / "summary.md").write_text(render_summary(content), encoding="utf-8")
    return final / "index.html"


def _keep_comparison(before: Path, folder: Path) -> bool:
    """Copy the files of a comparison from the report *before*; return whether it has the page of one."""
    for suffix in COMPARISON_SUFFIXES:
        source = before / f"{COMPARISON}{suffix}"
        # The folder may come from anybody: a link could lead out of it, and a pipe would block.
        if source.is_file() and not source.is_symlink():
            shutil.copyfile(source, folder / source.name)
    return (folder / f"{COMPARISON}.html").exists()


def _figures(report: Report, folder: Path, cache: FigureCache | None, warn: Callable[[str], None]) -> list[Picture]:
    """Save the figures in *folder*, copied from the cache if it has them, and return them in the order of the page."""
    folder.mkdir()
    drawn_before = cache.copy(folder) if cache is not None else None
    if drawn_before is not None:
        return drawn_before
    from lab.report.figures.draw import draw

    pictures = draw(report, folder)
    if cache is not None:
        try:
            cache.put(pictures, folder)
        except StoreError as error:
            warn(
                f"warning: the cache {cache.root} does not work: the figures cannot be kept there for the next report: "
                f"{cause_of(error)}; the report is complete"
            )
    return pictures
