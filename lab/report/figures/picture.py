# SPDX-License-Identifier: Apache-2.0
"""A figure of a report, as its section of the page, its files and its caption."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("svg", "pdf", "png")
"""File formats in which each figure is saved."""


@dataclass(frozen=True)
class Picture:
    """A figure whose files have been saved."""

    section: str
    """Section of the page: ``topology``, ``comparison``, ``time``, ``events`` or ``states``."""
    name: str
    """Name of the figure's files, without their suffix."""
    caption: str
    alt: str
    """What the figure shows, for somebody who does not see it."""

    def files(self) -> list[str]:
        """Return the names of the figure's files."""
        return [f"{self.name}.{suffix}" for suffix in FORMATS]
