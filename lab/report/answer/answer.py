# SPDX-License-Identifier: Apache-2.0
"""The answer of a run, put together: findings in sentences, and what their numbers rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lab.analysis.paired import FEWEST
from lab.report.answer.effects import SAME
from lab.report.answer.evidence import Evidence, evidence, how_sure
from lab.report.answer.explanations import Explanations, explanations
from lab.report.answer.findings import Finding, findings
from lab.report.answer.gather import gather
from lab.report.answer.wording import sentence, statement
from lab.report.model import Report

_STATEMENTS = 3
"""The number of quantities that are told of a run with nothing to compare."""


@dataclass(frozen=True)
class Answer:
    """What a run says."""

    sentences: tuple[str, ...]
    """One item for each finding, the most important one first; empty if the run has no results."""
    basis: str
    """What the numbers in the sentences are and how sure they are; may be empty."""
    explanations: Explanations
    """What the kernel did in each cell."""
    evidence: tuple[Evidence, ...] = ()
    """The comparisons that the sentences rest on; empty if chance has no part in them."""


def answer(report: Report) -> Answer:
    """Return the answer of a run."""
    measured = gather(report)
    found = findings(measured)
    told = explanations(report, found)
    if found:
        tested = tuple(evidence(found)) if _has_tests(found) else ()
        return Answer(tuple(map(sentence, found)), _basis(found), told, tested)
    return Answer(tuple(statement(one) for one in measured[:_STATEMENTS]), "", told)


def _has_tests(found: list[Finding]) -> bool:
    """Return whether chance has a part in the comparisons, and there are enough repetitions to tell which."""
    effects = [contrast.effect for finding in found for contrast in finding.contrasts]
    return max(effect.pairs for effect in effects) >= FEWEST and not all(effect.is_exact for effect in effects)


def _basis(found: list[Finding]) -> str:
    """Return what the numbers of the sentences are, and how many repetitions would settle what is not clear."""
    effects = [contrast.effect for finding in found for contrast in finding.contrasts]
    pairs = max(effect.pairs for effect in effects)
    if all(effect.is_exact for effect in effects):
        equal = "Nothing in these trials is random" if pairs == 1 else "The repetitions of each cell are equal"
        return f"{equal}, so chance has no part in these differences."
    if pairs < FEWEST:
        trials = "one trial" if pairs == 1 else f"{pairs} trials"
        return (
            f"There {'is' if pairs == 1 else 'are'} {trials} of each cell. It takes {FEWEST} or more to tell how much "
            f"of a difference is due to chance."
        )
    text = (
        "Values are means over the repetitions. In brackets are 95 % confidence intervals, which compare trials of the "
        "same repetition with each other (Student's t), and the range of the repetitions for shares of the link. A "
        "difference is clear if its p-value, corrected for the number of comparisons (Holm), is at most 0.05."
    )
    text += f" {how_sure(pairs)}"
    if any(effect.verdict == "few" for effect in effects):
        text += f" Differences without an interval are between fewer than {FEWEST} repetitions."
    unclear = [effect for effect in effects if effect.verdict == "unclear" and effect.magnitude > math.log1p(SAME)]
    needed = [effect.repetitions_needed() for effect in unclear]
    if known := [count for count in needed if count is not None]:
        text += (
            f" With {max(max(known), pairs + 1)} repetitions instead of {pairs}, {_how_many(len(known), len(needed))}."
        )
    return text


def _how_many(settled: int, unclear: int) -> str:
    if unclear == 1:
        return "the difference that is not clear would be expected to become so"
    which = str(settled) if settled < unclear else "all"
    return f"{which} of the {unclear} differences that are not clear would be expected to become so"
