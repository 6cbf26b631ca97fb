# SPDX-License-Identifier: Apache-2.0
"""Say what the kernel did in a cell: why windows were cut, in which states a flow was, and what limited it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.analysis.events import Span
from lab.analysis.metrics import FlowMetrics
from lab.analysis.reductions import MARK, UNKNOWN
from lab.evaluation.axes import value_label
from lab.evaluation.collected import inside
from lab.evaluation.repetition import Repetition
from lab.report.answer.findings import Contrast, Finding
from lab.report.model import Report, Row
from lab.report.tables.results import number
from lab.words import listed

_MOST_FACETS = 3
"""The number of cells that are explained first; all others are explained after them."""

_WORTH_TELLING = 0.01
"""The smallest share of the time that is told."""

_CAUSES = {
    "random_loss": "random losses",
    "queue_overflow": "a full queue",
    "aqm": "drops by the queue's management",
    "receive_buffer": "a full receive buffer",
    MARK: "ECN marks",
}


@dataclass(frozen=True)
class Explanations:
    """What the kernel did, one sentence for each group of TCP flows in each cell."""

    leading: tuple[str, ...]
    """Of the cells that the findings are about."""
    others: tuple[str, ...]
    """Of all other cells."""


def explanations(report: Report, findings: Sequence[Finding]) -> Explanations:
    """Return a sentence for each group of TCP flows in each cell, about the repetition with the median goodput.

    The cells that the *findings* are about come first; without any, the first and the last one.  If there are no more
    than :data:`_MOST_FACETS` cells, all of them do.
    """
    chosen = report.facets
    if len(chosen) > _MOST_FACETS:
        named = dict.fromkeys(facet for finding in findings for facet in _facets(report, finding))
        chosen = list(named or dict.fromkeys((chosen[0], chosen[-1])))[:_MOST_FACETS]
        chosen.sort(key=report.facets.index)
    return Explanations(
        _sentences(report, chosen), _sentences(report, [facet for facet in report.facets if facet not in chosen])
    )


def _sentences(report: Report, facets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(filter(None, (_explained(report, row) for facet in facets for row in report.rows_of(facet))))


def _facets(report: Report, finding: Finding) -> Iterator[tuple[str, ...]]:
    """Yield the facets that the largest effect of a finding compares: those of both levels, if they differ."""
    lead: Contrast = finding.contrasts[0]
    wanted: dict[str, set[str]] = {factor.name: {level} for factor, level in lead.where}
    wanted[finding.factor.name] = {lead.first.level, lead.last.level}
    axes = report.facet_axes
    labels = [{axis.text(value): value_label(axis, value) for value in axis.values} for axis in axes]
    for facet in report.facets:
        levels = [texts.get(text, text) for texts, text in zip(labels, facet, strict=True)]
        if all(level in wanted.get(axis.label, {level}) for axis, level in zip(axes, levels, strict=True)):
            yield facet


def _explained(report: Report, row: Row) -> str:
    repetition = row.median()
    flows = [flow for flow in repetition.flows if flow.fct_median_us is None and flow.congestion_control != "udp"]
    if not flows:
        return ""
    did = [*_cuts(repetition, flows), *_modes(repetition, flows), *_limits(flows)]
    if not did:
        return ""
    where = report.facet_title(row.facet)
    label = row.series.label
    subject = label if len(flows) == 1 else f"the {len(flows)} flows of {label}"
    they = "it" if len(flows) == 1 else "they"
    text = f"{subject} {f'; {they} '.join(did)}"
    # The names of algorithms and flows stay as they are.
    return f"{where}: {text}." if where else f"{text[:1].upper() if len(flows) > 1 else text[:1]}{text[1:]}."


def _cuts(repetition: Repetition, flows: Sequence[FlowMetrics]) -> list[str]:
    known = [repetition.evaluated.reductions.get(flow.flow) for flow in flows]
    causes = sum((Counter(found) for found in known if found is not None), Counter[str]())
    if not any(found is not None for found in known):
        return []
    windows = "its window" if len(flows) == 1 else "their windows"
    measured_s = max((flow.measured_to_s or 0.0) - (flow.measured_from_s or 0.0) for flow in flows)
    during = f"in {number(measured_s, 3, 0)} s"
    total = sum(causes.values())
    if not total:
        return [f"did not cut {windows} {during}"]
    often = f"cut {windows} {_times(total)} {during}"
    if len(causes) == 1:
        return [f"{often}, {'each time ' if total > 1 else ''}{_cause(next(iter(causes)))}"]
    why = [f"{count} {_cause(cause)}" for cause, count in causes.most_common()]
    return [f"{often}, {listed(why, is_serial=True)}"]


def _modes(repetition: Repetition, flows: Sequence[FlowMetrics]) -> list[str]:
    if len(flows) > 1:
        return []
    modes: Sequence[Span] = inside(repetition.evaluated.trial, flows[0].flow).modes
    whole = math.fsum(span.end - span.start for span in modes)
    if not whole:
        return []
    seconds: dict[str, float] = {}
    for span in modes:
        seconds[span.name] = seconds.get(span.name, 0.0) + span.end - span.start
    parts: list[str] = []
    for mode, held in sorted(seconds.items(), key=lambda item: -item[1]):
        of_time = "" if parts else " of the time"
        entered = f" (entered {_times(sum(span.name == mode for span in modes))})" if mode == "ProbeRTT" else ""
        parts.append(f"{number(100 * held / whole, 2, 1)} %{of_time} in {mode}{entered}")
    return [f"spent {listed(parts, is_serial=True)}"]


def _limits(flows: Sequence[FlowMetrics]) -> list[str]:
    """Return what other than congestion control limited the flows (tcp_info), and what they sent again."""
    found = []
    limits = {
        "the receiver's window": [flow.rwnd_limited_share for flow in flows],
        "the send buffer": [flow.sndbuf_limited_share for flow in flows],
    }
    for what, known in limits.items():
        shares = [share for share in known if share is not None]
        share = math.fsum(shares) / len(shares) if shares else 0.0
        if share >= _WORTH_TELLING:
            found.append(f"had {what} as the limit {number(100 * share, 2, 0)} % of the time with data to send")
    again = [flow.retransmitted_share for flow in flows if flow.retransmitted_share is not None]
    if sum(again):
        found.append(f"sent {number(100 * math.fsum(again) / len(again), 2, 2)} % of the segments again")
    return found


def _cause(cause: str) -> str:
    if cause == UNKNOWN:
        return "without a further drop, such as after a repeated timeout"
    return f"after {_CAUSES.get(cause, cause.replace('_', ' '))}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
