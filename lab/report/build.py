# SPDX-License-Identifier: Apache-2.0
"""Build the report of a run: figures, tables, an HTML page and a summary in Markdown."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.analysis.checks.check import Verdict, worst
from lab.errors import StoreError
from lab.evaluation.trial import EvaluatedTrial, evaluate_run
from lab.job import kernels
from lab.report.figures.cache import FigureCache
from lab.report.figures.picture import Picture
from lab.report.model import Report
from lab.report.tables.events import event_tables
from lab.report.tables.results import result_columns, result_lines, write_tables
from lab.report.windows import any_cut, text
from lab.store.files import cause_of
from lab.store.folders import new_folder
from lab.store.run import open_run
from lab.units import format_duration, format_size


@dataclass(frozen=True)
class Concern:
    """A check that some trials did not pass, with the verdict that they have in common."""

    title: str
    verdict: Verdict
    meaning: str
    """Why the check matters."""
    asked: str
    """What the check expects of the first of these trials."""
    found: str
    """What the check found in the first of these trials."""
    trials: tuple[str, ...]
    """Ids of the trials."""


PROVENANCE_LABELS = {
    "command": "Command",
    "started": "Started",
    "wall_seconds": "Wall-clock time (s)",
    "status": "Status",
    "jobs": "Trials at the same time",
    "lab_version": "lab",
    "python": "Python",
    "engine": "Engine",
    "uml_kernel_digest": "User-mode Linux digest",
    "uml_recipe_digest": "User-mode Linux recipe digest",
    "kernel": "Kernel",
    "qemu_version": "QEMU",
    "qemu_digest": "QEMU digest",
    "image_digest": "Guest image digest",
    "agent_digest": "Agent digest",
    "bpf_digest": "BPF digest",
    "lockstep_digest": "QEMU lockstep digest",
    "machine_digest": "Machine digest",
    "results_digest": "Results digest",
}
"""Key in ``provenance.json`` → its label in the report."""


_LINE = 96
"""The number of characters of a command that fit on one line of the page."""


def build_report(
    run_dir: Path, figure_cache: Path | None = None, warn: Callable[[str], None] = lambda _line: None
) -> Path:
    """Evaluate the stored run *run_dir*, build its ``report`` folder anew, and return the path of ``index.html``.

    Drawing the figures takes most of the time.  Figures that the same code has drawn from the same results before are
    therefore copied from the folder *figure_cache*, and new figures are added to it.  If that is not possible, the
    report is complete all the same, and *warn* is called with a line that says so.

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
        content = page_content(report)
        shown = [_inlined(picture, folder / "figures") for picture in pictures]
        page = _render("index.html.j2", {**content, "pictures": shown}, html=True)
        (folder / "index.html").write_text(page, encoding="utf-8")
        (folder / "summary.md").write_text(_render("summary.md.j2", content, html=False), encoding="utf-8")
    return final / "index.html"


def page_content(report: Report) -> dict[str, Any]:
    """Return the content of the templates, except the figures."""
    return {
        "report": report,
        "verdict": overall_verdict(report),
        "counts": {name: report.count(name) for name in ("ok", "warn", "invalid")},
        "concerns": concerns(report),
        "columns": result_columns(report),
        "lines": result_lines(report),
        "settings": settings(report),
        "notes": notes(report),
        "provenance": provenance(report),
        "repeat": repeat_command(report),
        "needs_package": any(kernels.is_package(job["kernel"]) for job in report.jobs),
        "event_tables": event_tables(report),
        "confirmation": confirmation(report),
        "covered": covered(report),
    }


def overall_verdict(report: Report) -> str:
    """Return the worst verdict on the run's trials; ``failed`` if no trial was carried out.

    If a trial failed or was not run, the verdict is ``warn`` at best.
    """
    if not report.done:
        return "failed"
    verdicts = [result.verdict or "ok" for result in report.done]
    return worst([*verdicts, *(["warn"] if report.failed or report.not_run else [])])  # type: ignore[list-item]


def concerns(report: Report) -> list[Concern]:
    """Return the checks that some trials did not pass: ``invalid`` before ``warn``, then by the number of trials."""
    found: dict[tuple[str, Verdict], list[tuple[EvaluatedTrial, Any]]] = {}
    for result in report.done:
        for check in result.checks:
            if check.verdict != "ok":
                found.setdefault((check.id, check.verdict), []).append((result, check))
    listed = [
        Concern(
            title=items[0][1].title,
            verdict=verdict,
            meaning=items[0][1].meaning,
            asked=items[0][1].asked,
            found=items[0][1].found,
            trials=tuple(result.trial.id for result, _ in items),
        )
        for (_, verdict), items in found.items()
    ]
    return sorted(listed, key=lambda concern: (concern.verdict != "invalid", -len(concern.trials)))


def settings(report: Report) -> list[tuple[str, str]]:
    """Return the settings of the run as (name, text).  A setting that differs between trials lists all its values."""
    if not report.jobs:
        return []
    jobs = report.jobs
    texts: dict[str, list[str]] = {
        "Flow duration": [format_duration(flow["duration_ns"]) for job in jobs for flow in job["flows"]],
        "Measured window": [text(job["flows"]) for job in jobs if any_cut(report)],
        "IP": [{"ipv4": "IPv4", "ipv6": "IPv6"}[job["ip"]] for job in jobs],
        "MTU": [f"{job['mtu']} B" for job in jobs],
        "TSO, GSO, GRO": ["the kernel's defaults" if job["offloads"] else "off" for job in jobs],
        "ECN": [job["ecn"] for job in jobs],
        "Largest socket buffer": [_size(job["socket_buffer_bytes"]) for job in jobs],
        "Flows per trial": [str(len(job["flows"])) for job in jobs],
        "Collectors": [", ".join(job["collectors"]) or "none" for job in jobs],
    }
    shared = [(name, ", ".join(dict.fromkeys(values))) for name, values in texts.items() if values]
    matrix = [(axis.label, ", ".join(axis.text(value) for value in axis.values)) for axis in report.axes]
    repetitions = len({result.trial.identity.repetition for result in report.evaluated})
    return [*matrix, ("Repetitions", str(repetitions)), *shared, ("Engine", engine_text(report))]


def covered(report: Report) -> str:
    """Return the part of the flows' time that the results cover, as text."""
    if not any_cut(report):
        return "the flow's declared time, slow start included"
    return f"the flow's measured window ({text(flow for job in report.jobs for flow in job['flows'])})"


def _size(count: int) -> str:
    """Return a size as text: multiples of 1024 bytes exactly, other sizes rounded to four digits."""
    return format_size(count) if count % 1024 == 0 else format_size(count, 4)


def engine_text(report: Report) -> str:
    """Return the engine of the run, and whether its trials can be repeated exactly, as text."""
    kernel = report.provenance.get("kernel") or "an unknown kernel"
    engine = str(report.provenance.get("engine", "an unknown engine"))
    meanings = {
        "vm": f"virtual time on Linux {kernel}; repeating a trial gives byte-identical results",
        "uml": f"virtual time on User-mode Linux {kernel}; repeating a trial gives byte-identical results",
        "native": f"real time on the machine's own Linux {kernel}; repeating a trial gives different results",
        "replay": f"captured records of Linux {kernel}, played back; nothing was measured anew",
    }
    return f"{engine}: {meanings.get(engine, f'Linux {kernel}')}"


def provenance(report: Report) -> list[tuple[str, str]]:
    """Return the provenance of the results as (name, text): keys with a label first, then all others."""
    stored: Mapping[str, Any] = report.provenance
    labelled = [(label, _text(stored[key])) for key, label in PROVENANCE_LABELS.items() if key in stored]
    # The digests of the trials have their own table, notes their own part, and the command contains the overrides.
    done = PROVENANCE_LABELS.keys() | {"trials", "overrides", "notes"}
    return labelled + [(key, _text(value)) for key, value in stored.items() if key not in done]


def notes(report: Report) -> list[str]:
    """Return what ``lab check`` warned of when the run began."""
    return [str(note) for note in report.provenance.get("notes", [])]


def repeat_command(report: Report) -> str:
    """Return the command that runs the same trials again, in the folder of the run; on several lines if it is long."""
    options: list[list[str]] = []
    for override in map(str, report.provenance.get("overrides", [])):
        name, _equals, value = override.partition("=")
        options.append(["--engine", value] if name == "engine" else ["--set", override])
    if report.run.confirmation is not None:
        options.append(["--confirm", str(report.run.confirmation["engine"])])
    parts = ["lab run experiment.yaml", *map(shlex.join, options)]
    line = " ".join(parts)
    return line if len(line) <= _LINE else " \\\n  ".join(parts)


def confirmation(report: Report) -> dict[str, Any] | None:
    """Return how another engine has confirmed the results, with texts for a table; None if none has tried to."""
    stored = report.run.confirmation
    if stored is None:
        return None
    lines = [
        {
            **item,
            "means": (f"{item['found']:.4g}", f"{item['confirming']:.4g}"),
            "difference": f"{item['confirming'] - item['found']:+.2g}",
            "chance": f"{item['chance']:.3g}",
        }
        for item in stored["comparisons"]
    ]
    return {**stored, "lines": lines, "agreeing": sum(item["agrees"] for item in lines)}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)


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


def _inlined(picture: Picture, folder: Path) -> dict[str, str]:
    """Return the picture for the template.  ``data`` is its SVG file as a data URI: the page needs no other files."""
    data = base64.b64encode((folder / f"{picture.name}.svg").read_bytes()).decode()
    return {**asdict(picture), "data": f"data:image/svg+xml;base64,{data}"}


def _render(template: str, content: Mapping[str, Any], *, html: bool) -> str:
    environment = Environment(
        loader=PackageLoader("lab.report"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _markdown_cell
    return environment.get_template(template).render(**content)


def _markdown_cell(text: object) -> str:
    """Return *text* on one line, with escapes so that it is neither taken for markup nor ends a table cell."""
    escaped = str(text).replace("\\", "\\\\")
    for character in "|*_`<[":
        escaped = escaped.replace(character, "\\" + character)
    return " ".join(escaped.split())
