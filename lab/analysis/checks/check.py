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
    """One question about a trial and its answer, in words for a reader."""

    id: str
    title: str
    verdict: Verdict
    asked: str
    """What should be."""
    found: str
    """What was."""
    threshold: str
    """Where ``warn`` and ``invalid`` begin."""
    meaning: str
    """One sentence: why it matters."""


@dataclass(frozen=True)
class Finding:
    """What a check found at one place (an interface, a flow)."""

    verdict: Verdict
    asked: str
    found: str


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most severe verdict; ``ok`` when there is none."""
    return max(verdicts, key=_SEVERITY.__getitem__, default="ok")


def graded(value: float, warn: float, invalid: float) -> Verdict:
    """Return the verdict on a *value* that must not be above *warn*, and still less above *invalid*."""
    if value > invalid:
        return "invalid"
    return "warn" if value > warn else "ok"


def combine(id: str, title: str, findings: Sequence[Finding], *, threshold: str, meaning: str) -> Check:
    """Make one check of many findings: the worst verdict, and the distinct findings that have it."""
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
