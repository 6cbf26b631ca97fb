# SPDX-License-Identifier: Apache-2.0
"""The outcome of one check of one trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "invalid"]

_SEVERITY: dict[Verdict, int] = {"ok": 0, "warn": 1, "invalid": 2}


@dataclass(frozen=True)
class Check:
    """The outcome of one check of one trial, in words for the reader of the report."""

    id: str
    """Short name of the check, such as ``base-rtt``."""
    title: str
    """Name of the check in the report."""
    verdict: Verdict
    asked: str
    """What the check expects."""
    found: str
    """What was read back or measured."""
    threshold: str
    """What makes the verdict ``warn`` and what makes it ``invalid``."""
    meaning: str
    """Why the check matters, in one or two sentences."""


@dataclass(frozen=True)
class Finding:
    """What a check found in one place, such as an interface or a flow."""

    verdict: Verdict
    asked: str
    found: str


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most severe of the verdicts; ``ok`` if there are none."""
    return max(verdicts, key=_SEVERITY.__getitem__, default="ok")


def graded(value: float, warn: float, invalid: float) -> Verdict:
    """Return ``invalid`` if *value* is above *invalid*, else ``warn`` if it is above *warn*, else ``ok``."""
    if value > invalid:
        return "invalid"
    return "warn" if value > warn else "ok"


def combine(id: str, title: str, findings: Sequence[Finding], *, threshold: str, meaning: str) -> Check:
    """Combine the findings of a check: the result has the worst verdict and lists the distinct findings with it."""
    verdict = worst(finding.verdict for finding in findings)
    shown = [finding for finding in findings if finding.verdict == verdict]
    return Check(
        id=id,
        title=title,
        verdict=verdict,
        asked=_listed([finding.asked for finding in shown]),
        found=_listed([finding.found for finding in shown]),
        threshold=threshold,
        meaning=meaning,
    )


def _listed(texts: Sequence[str], most: int = 4) -> str:
    distinct = list(dict.fromkeys(texts))
    more = f"; and {len(distinct) - most} more" if len(distinct) > most else ""
    return "; ".join(distinct[:most]) + more if distinct else "nothing to check"
