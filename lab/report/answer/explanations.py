# SPDX-License-Identifier: Apache-2.0
"""Say what the kernel did in a cell: why windows were cut, in which states a flow was, and what limited it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lab.analysis.events import Span
from lab.analysis.metrics import FlowMetrics
from lab.analysis.reductions import MARK, UNKNOWN
from lab.evaluation.collected import inside
from lab.evaluation.repetition import Repetition
from lab.report.answer.wording import joined
from lab.report.model import Report, Row
from lab.report.tables.results import number

_MOST_FACETS = 3
"""The number of cells that are explained; the tables have all others."""

_WORTH_TELLING = 0.01
"""The smallest share of the time that is told."""

_CAUSES = {
    "random_loss": "random losses",
    "queue_overflow": "a full queue",
    "aqm": "drops by the queue's management",
    "receive_buffer": "a full receive buffer",
    MARK: "ECN marks",
    UNKNOWN: "no further drop, such as a repeated timeout",
}


def explanations(report: Report) -> list[str]:
    """Return one sentence for each group of TCP flows in the first, the middle and the last cell of the matrix.

    It is about the repetition with the median goodput.
    """
    chosen = report.facets
    if len(chosen) > _MOST_FACETS:
        chosen = [chosen[0], chosen[len(chosen) // 2], chosen[-1]]
    texts = (_explained(report, row) for facet in chosen for row in report.rows_of(facet))
    return [text for text in texts if text]


def _explained(report: Report, row: Row) -> str:
    repetition = row.median()
    flows = [flow for flow in repetition.flows if flow.fct_median_us is None and flow.congestion_control != "udp"]
    if not flows:
        return ""
    did = [*_cuts(repetition, flows), *_modes(repetition, flows), *_limits(flows)]
    if not did:
        return ""
    where = report.facet_title(row.facet)
    series = row.series
    name = series.group if series.group == series.algorithm and not series.kernel else series.label
    subject = name if len(flows) == 1 else f"the {len(flows)} flows of {name}"
    they = "it" if len(flows) == 1 else "they"
    text = f"{subject} {f'; {they} '.join(did)}"
    return f"{where[:1].upper()}{where[1:]}: {text}." if where else f"{text}."


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
        return [f"{often}, {'each time ' if total > 1 else ''}after {_cause(next(iter(causes)))}"]
    return [f"{often}, {joined([f'{count} after {_cause(cause)}' for cause, count in causes.most_common()])}"]


def _modes(repetition: Repetition, flows: Sequence[FlowMetrics]) -> list[str]:
    if len(flows) > 1:
        return []
    modes: Sequence[Span] = inside(repetition.evaluated.trial, flows[0].flow).modes
    whole = sum(span.end - span.start for span in modes)
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
    return [f"spent {joined(parts)}"]


def _limits(flows: Sequence[FlowMetrics]) -> list[str]:
    """Return what other than congestion control limited the flows (tcp_info), and what they sent again."""
    found = []
    limits = {
        "the receiver's window": [flow.rwnd_limited_share for flow in flows],
        "the send buffer": [flow.sndbuf_limited_share for flow in flows],
    }
    for what, known in limits.items():
        shares = [share for share in known if share is not None]
        share = sum(shares) / len(shares) if shares else 0.0
        if share >= _WORTH_TELLING:
            found.append(f"had {what} as the limit {number(100 * share, 2, 0)} % of the time with data to send")
    again = [flow.retransmitted_share for flow in flows if flow.retransmitted_share is not None]
    if sum(again):
        found.append(f"sent {number(100 * sum(again) / len(again), 2, 2)} % of the segments again")
    return found


def _cause(cause: str) -> str:
    return _CAUSES.get(cause, cause.replace("_", " "))


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
