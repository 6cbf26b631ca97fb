# SPDX-License-Identifier: Apache-2.0
"""Check the names of the congestion controls that users have written.  No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.experiment.check.matrix import CellDocument, MatrixAxis
from lab.experiment.check.problems import Problem
from lab.experiment.schema.congestion import OwnAlgorithm
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path
from lab.job import kernels
from lab.units import show

__all__ = ["own_algorithm_problems"]


def own_algorithm_problems(
    axes: Sequence[MatrixAxis], cells: Iterable[tuple[CellDocument, Experiment]]
) -> Iterator[Problem]:
    """Yield a problem for each algorithm whose name stands for another one, too, in the kernel or in the experiment.

    The report could not tell them apart, and a kernel has only one algorithm of each name.
    """
    known: dict[str, OwnAlgorithm] = {}
    reported = set[OwnAlgorithm]()
    for cell, experiment in cells:
        for flow_name, flow in experiment.flows.items():
            own = flow.cc
            if not isinstance(own, OwnAlgorithm) or own in reported:
                continue
            first = known.setdefault(own.name, own)
            if own.name in kernels.ALGORITHMS:
                found = f"found an algorithm named '{own.name}', as one of the kernel's is"
            elif first.object != own.object or first.source_sha256 != own.source_sha256:
                found = f"found an algorithm named '{own.name}', as that of {show(first.source)} is"
            else:
                continue
            reported.add(own)
            place = _place(axes, cell, ("flows", flow_name, "cc"))
            example = f"cc: {{name: my_{own.name[:12]}, source: {own.source}}}"
            yield Problem(place, f"{found}; expected another name, such as in {example}")


def _place(axes: Sequence[MatrixAxis], cell: CellDocument, field: Path) -> Path:
    """Return where the file sets *field* for a cell: in the field itself, or in an axis of the matrix."""
    for axis, index in zip(axes, cell.indices, strict=True):
        rest = axis.rest_of(field)
        if rest is not None:
            return ("matrix", axis.key, index, *rest)
    return field
