# SPDX-License-Identifier: Apache-2.0
"""Closed forms of goodput at random loss, for the range in which they are valid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.analysis.metrics import FlowMetrics
from lab.analysis.path import mss_bytes
from lab.job.protocol import Job
from lab.report.model import Report, Row

RENO_CONSTANT = math.sqrt(3 / 2)
"""C of Mathis et al. for periodic losses and a receiver that acknowledges each packet."""
CUBIC_C, CUBIC_BETA = 0.4, 0.7
"""C and beta_cubic of RFC 9438 (sections 4.1 and 4.6), which are the values of Linux."""
MOST_LOSS = 0.02
"""With more loss, timeouts take much of the time; both models know only fast retransmits."""
LEAST_WINDOW = 4.0
"""With a smaller window than this, in segments, a loss may not be found by three duplicate ACKs (RFC 5681)."""


@dataclass(frozen=True)
class ClosedForm:
    """A model of the mean window of an algorithm at random loss."""

    label: str
    window: Callable[[float, float], float]
    """Function of the loss probability and the RTT in seconds that returns the mean window in segments."""


def reno_window(loss: float, _rtt_s: float) -> float:
    """Return the mean window of Reno in segments: C/√p (Mathis, Semke, Mahdavi, Ott: CCR 27(3), 1997, equation 3)."""
    return RENO_CONSTANT / math.sqrt(loss)


def cubic_window(loss: float, rtt_s: float) -> float:
    """Return the mean window of CUBIC in segments: RFC 9438, equation 5, or that of its Reno-friendly region.

    In the Reno-friendly region, CUBIC's window is as large as Reno's (section 4.3); it uses the larger of both.
    """
    factor: float = (CUBIC_C * (3 + CUBIC_BETA) / (4 * (1 - CUBIC_BETA))) ** 0.25
    return max(factor * math.pow(rtt_s / loss, 0.75), reno_window(loss, rtt_s))


FORMS = {
    "reno": ClosedForm("Reno, Mathis et al.", reno_window),
    "cubic": ClosedForm("CUBIC, RFC 9438", cubic_window),
}
"""Algorithm → its closed form."""


def curve(report: Report, rows: Sequence[Row], algorithm: str, numbers: Sequence[float]) -> list[tuple[float, float]]:
    """Return loss in percent and goodput in the unit of the report, of the closed form of *algorithm* for *rows*.

    The curve covers the positive *numbers* (losses in percent) within the model's range: up to :data:`MOST_LOSS`, with
    windows from :data:`LEAST_WINDOW` segments up to what the link carries.  It is empty if the model does not apply:
    losses come in bursts, the flow is not alone, or the base RTT or the rate changes.
    """
    flows = [flow for row in rows for item in row.used for flow in item.flows]
    jobs = [item.evaluated.trial.job for row in rows for item in row.used]
    positive = [number / 100 for number in numbers if number > 0]
    if not flows or not positive or algorithm not in FORMS or any(len(job["flows"]) > 1 for job in jobs):
        return []
    rtts, tops = {flow.declared_rtt_us for flow in flows}, {_most_bps(flow) for flow in flows}
    bursts = any(_in_bursts(job) for job in jobs)
    if len(rtts) != 1 or len(tops) != 1 or bursts or min(rtts) <= 0:
        return []
    (rtt_us,), (most,) = rtts, tops
    scale, bits = report.rate_unit[1], mss_bytes(jobs[0]) * 8
    found = []
    low, high = min(positive), min(max(positive), MOST_LOSS)
    for step in range(41 if high > low else 0):
        loss = low * (high / low) ** (step / 40)
        window = FORMS[algorithm].window(loss, rtt_us / 1e6)
        rate = window * bits / (rtt_us / 1e6)
        if window >= LEAST_WINDOW and (most is None or rate <= most):
            found.append((loss * 100, rate / scale))
    return found if len(found) > 1 else []


def _most_bps(flow: FlowMetrics) -> float | None:
    return flow.bottleneck_bps * flow.ceiling if flow.bottleneck_bps else None


def _in_bursts(job: Job) -> bool:
    """Return whether losses depend on each other, or the links change: neither model describes that."""
    ways = [way for link in job["links"] for way in (link["ab"], link["ba"])]
    losses = [way["netem"]["loss"] for way in ways if way["netem"] and way["netem"]["loss"]]
    return any(way["changes"] for way in ways) or any(
        loss["model"] != "random" or any(loss["values"][1:]) for loss in losses
    )
