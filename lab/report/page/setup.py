# SPDX-License-Identifier: Apache-2.0
"""What was run: the settings of a run, as text."""

from __future__ import annotations

from lab.report.model import Report
from lab.report.windows import any_cut, text
from lab.units import format_duration, format_size


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


def _size(count: int) -> str:
    """Return a size as text: multiples of 1024 bytes exactly, other sizes rounded to four digits."""
    return format_size(count) if count % 1024 == 0 else format_size(count, 4)
