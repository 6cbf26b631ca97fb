# SPDX-License-Identifier: Apache-2.0
"""Where the results of a run come from, and the command that runs the same trials again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from lab.report.model import Report

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
    "kernel": "Kernel",
    "bundle_digest": "Bundle digest",
    "qemu_version": "QEMU",
    "qemu_digest": "QEMU digest",
    "emulator_digest": "Digest of QEMU's files",
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


def provenance(report: Report) -> list[tuple[str, str]]:
    """Return the provenance of the results as (name, text): keys with a label first, then all others."""
    stored: Mapping[str, Any] = report.provenance
    labelled = [(label, _text(stored[key])) for key, label in PROVENANCE_LABELS.items() if key in stored]
    # `lab verify` compares the digests of files and trials, notes have their own part, the command has the overrides.
    done = PROVENANCE_LABELS.keys() | {"trials", "overrides", "notes", "files"}
    own = {one["name"]: one["source_sha256"] for job in report.jobs for one in job.get("algorithms", ())}
    labelled += [(f"Source digest of {name}", digest) for name, digest in sorted(own.items())]
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


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)
