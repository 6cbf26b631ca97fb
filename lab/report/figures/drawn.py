# SPDX-License-Identifier: Apache-2.0
"""A finished figure."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawn:
    """A finished figure."""

    name: str
    """Name of the figure's files, without their suffix."""
    figure: Figure
    caption: str
    alt: str
    """What the figure shows, for somebody who does not see it: which quantity over what, for whom, and its range."""
