# SPDX-License-Identifier: Apache-2.0
"""Completion times of short flows."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis.measured import MeasuredFlow


@dataclass(frozen=True)
class ShortFlows:
    """Completion times of a group of short flows."""

    fct_median_us: float | None
    """Median completion time of short flows, in microseconds; flows that did not complete are left out.

    The flows are those that started within the measured window.
    """
    fct_p95_us: float | None
    """p95 of the completion times of short flows, in microseconds; flows that did not complete are left out."""


def short_flows(flow: MeasuredFlow) -> ShortFlows:
    """Return the completion times of the short flows that started within the measured window."""
    return ShortFlows(fct_median_us=_completion_us(flow, 0.5), fct_p95_us=_completion_us(flow, 0.95))


def _completion_us(flow: MeasuredFlow, share: float) -> float | None:
    return flow.measured_completions.quantile_us(share) if flow.measured_completions is not None else None
