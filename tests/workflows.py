# SPDX-License-Identifier: Apache-2.0
"""Read the files that ``lab init-ci`` writes, as the services do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


def parsed(path: Path) -> dict[str, Any]:
    """Return the content of a workflow."""
    found: dict[str, Any] = YAML(typ="safe").load(path)
    return found


def commands_of(workflow: dict[str, Any], service: str) -> list[str]:
    """Return the commands of all jobs, in the order in which they run."""
    if service == "github":
        return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    jobs = [value for value in workflow.values() if isinstance(value, dict)]
    parts = ("before_script", "script", "after_script")
    return [command for job in jobs for part in parts for command in job.get(part, ())]
