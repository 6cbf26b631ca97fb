# SPDX-License-Identifier: Apache-2.0
"""What the checks of a run's trials found, for the last lines of ``lab run``, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_OK

if TYPE_CHECKING:
    from lab.store.run import Run

CHECKS_PAGE = "docs/reference/checks.md"


@dataclass(frozen=True)
class RunVerdict:
    """The verdict on a run whose report has been written."""

    lines: tuple[str, ...]
    """What to tell the user; empty if all trials passed all checks."""
    means_something: bool
    """Whether no trial is invalid, and the report has results."""

    def exit_code(self, *, allow_invalid: bool) -> int:
        """Return the exit code that follows from the verdict."""
        return EXIT_OK if self.means_something or allow_invalid else EXIT_EXPECTATION_FAILED


def run_verdict(run: Run) -> RunVerdict:
    """Return the verdict on *run*, from the stored checks of its trials.

    Raises:
        StoreError: The files that the report has written cannot be read.
    """
    checks_of = {trial.id: trial.validity or [] for trial in run.trials() if trial.ok}
    lines: list[str] = []
    invalid = _trials_with("invalid", checks_of)
    page = run.report_dir / "index.html"
    for check, trials in _failed(checks_of).values():
        place = f"{CHECKS_PAGE}#{check['id']}"
        lines.append(
            f"invalid: {_share(len(trials), len(checks_of))} did not pass the check {check['id']} "
            f"({check['title']}), such as {trials[0]}: expected {check['asked']}, found {check['found']}; see {place}"
        )
    has_results = run.metrics_table().num_rows > 0
    if checks_of and not has_results:
        lines.append("no trial has results, so the report compares nothing")
    warned = [trial for trial in _trials_with("warn", checks_of) if trial not in invalid]
    if warned:
        lines.append(f"warning: {_share(len(warned), len(checks_of))} passed with a warning; see {page}")
    if invalid:
        be = "is" if len(invalid) == 1 else "are"
        lines.append(
            f"{_share(len(invalid), len(checks_of))} {be} invalid and did not measure what the experiment asks for; "
            f"see {page}"
        )
    return RunVerdict(tuple(lines), means_something=has_results and not invalid)


def _failed(checks_of: Mapping[str, list[dict[str, Any]]]) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Return each check that made trials invalid, as found in the first of these, and the ids of the trials."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for trial_id, checks in checks_of.items():
        for check in checks:
            if check["verdict"] == "invalid":
                found.setdefault(check["id"], (check, []))[1].append(trial_id)
    return found


def _trials_with(verdict: str, checks_of: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    return [trial_id for trial_id, checks in checks_of.items() if any(check["verdict"] == verdict for check in checks)]


def _share(number: int, total: int) -> str:
    return f"{number} of {total} trial{'' if total == 1 else 's'}"
