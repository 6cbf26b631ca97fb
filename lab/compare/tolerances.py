# SPDX-License-Identifier: Apache-2.0
"""How large a change is that does not count as one, for all metrics and for single ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lab.units import parse_probability

DEFAULT = "default"
"""What stands in the place of a metric for all metrics that have no tolerance of their own."""

TOLERANCE = 0.05
"""Relative difference that is still no change, unless somebody asks for another one."""


@dataclass(frozen=True)
class Tolerances:
    """Relative differences that count as no change."""

    default: float = TOLERANCE
    by_metric: Mapping[str, float] = field(default_factory=dict)
    """Key of a metric, as in the columns of ``results.csv`` → its own tolerance."""

    def of(self, metric: str) -> float:
        """Return the tolerance of a metric."""
        return self.by_metric.get(metric, self.default)

    def document(self) -> dict[str, float]:
        """Return the tolerances as a baseline has them; :data:`DEFAULT` stands for all other metrics."""
        return {DEFAULT: self.default, **self.by_metric}


DEFAULT_TOLERANCES = Tolerances()
"""Those of a comparison for which nobody asks for others."""


def tolerances_of(document: Mapping[str, float]) -> Tolerances:
    """Return the tolerances that :meth:`Tolerances.document` has returned."""
    return Tolerances(
        document.get(DEFAULT, TOLERANCE), {name: value for name, value in document.items() if name != DEFAULT}
    )


def parse_tolerances(texts: Sequence[str], metrics: Collection[str], declared: Tolerances) -> Tolerances:
    """Return the tolerances that *texts* ask for, such as ``2%`` for all metrics and ``goodput_mbps=1%`` for one.

    What they do not mention is as *declared*, but a tolerance for all metrics replaces all that are declared.

    Raises:
        ValueError: A text is neither, or the metric is none of *metrics*.
    """
    default, by_metric, own = declared.default, dict(declared.by_metric), {}
    for text in texts:
        metric, separator, value = text.rpartition("=")
        share = parse_probability(value)
        if not separator:
            default, by_metric = share, {}
        elif metric in metrics:
            own[metric] = share
        else:
            raise ValueError(f"found the metric {metric!r}; expected one of {', '.join(sorted(metrics))}")
    return Tolerances(default, {**by_metric, **own})
