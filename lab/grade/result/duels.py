# SPDX-License-Identifier: Apache-2.0
"""The results of a tournament: its table, its ranking, and its page with a heat map.  This module does no I/O."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from lab.report.page.render import render_other
from lab.units import format_rate

__all__ = ["Duel", "Table", "as_text", "tournament_page"]

FORMAT = 1


@dataclass(frozen=True)
class Duel:
    """Two players in the scenario of the tournament."""

    first: str
    second: str
    first_bps: float | None
    """Mean goodput of the first one's flow over all trials, in bit/s; None if they could not be run."""
    second_bps: float | None
    jain: float | None
    """Jain's index of the two."""
    utilisation: float | None
    """The share of the link that all traffic uses."""
    message: str = ""
    """Why there are no numbers."""

    @property
    def share(self) -> float | None:
        """The share of the first one in the goodput of both."""
        if self.first_bps is None or self.second_bps is None or self.first_bps + self.second_bps == 0:
            return None
        return self.first_bps / (self.first_bps + self.second_bps)


@dataclass(frozen=True)
class Table:
    """All duels of a tournament."""

    title: str
    players: tuple[str, ...]
    kernel: tuple[str, ...]
    """Those players that are algorithms of the kernel."""
    duels: tuple[Duel, ...]

    def of(self, first: str, second: str) -> Duel | None:
        """Return the duel of two players with *first* in the first place; None if they have not met."""
        for one in self.duels:
            if (one.first, one.second) == (first, second):
                return one
            if (one.first, one.second) == (second, first):
                return replace(one, first=first, second=second, first_bps=one.second_bps, second_bps=one.first_bps)
        return None

    def _of_others(self, player: str) -> list[Duel]:
        found = (self.of(player, other) for other in self.players if other != player)
        return [one for one in found if one is not None]

    def fairness(self, player: str) -> float | None:
        """Return the mean of Jain's index over the duels of a player with others; a duel without numbers counts as
        0."""
        found = self._of_others(player)
        return math.fsum(one.jain or 0.0 for one in found) / len(found) if found else None

    def throughput(self, player: str) -> float | None:
        """Return the mean goodput of a player over its duels with others, in bit/s."""
        found = self._of_others(player)
        return math.fsum(one.first_bps or 0.0 for one in found) / len(found) if found else None

    def ranking(self) -> list[str]:
        """Return the players, the fairest first; of equally fair ones, the one with more goodput."""
        return sorted(
            self.players,
            key=lambda name: (-round(self.fairness(name) or 0.0, 6), -(self.throughput(name) or 0.0), name),
        )

    def document(self) -> dict[str, Any]:
        """Return the table as plain values."""
        return {
            "format": FORMAT,
            "title": self.title,
            "kernel": list(self.kernel),
            "ranking": [
                {"player": name, "fairness": self.fairness(name), "throughput_bps": self.throughput(name)}
                for name in self.ranking()
            ],
            "duels": [asdict(one) for one in self.duels],
        }


def as_text(table: Table) -> str:
    """Return the ranking for a terminal."""
    lines = ["Tournament, the fairest first (mean of Jain's index, mean goodput):"]
    for number, name in enumerate(table.ranking(), 1):
        fairness, goodput = table.fairness(name), table.throughput(name)
        numbers = "–" if fairness is None or goodput is None else f"{fairness:.3f}  {format_rate(goodput, 3)}"
        lines.append(f"{number:3}  {_shown(name, table)}: {numbers}")
    return "\n".join(lines)


def _shown(name: str, table: Table) -> str:
    text = name.encode(errors="replace").decode()
    return f"{text} (of the kernel)" if name in table.kernel else text


def tournament_page(table: Table) -> str:
    """Return the page with the ranking and the table of all duels as a heat map."""
    ranking = table.ranking()
    return render_other(
        "tournament.html.j2",
        {
            "title": table.title,
            "players": [_shown(name, table) for name in ranking],
            "ranking": [
                {
                    "rank": number,
                    "who": _shown(name, table),
                    "fairness": _number(table.fairness(name)),
                    "throughput": _rate(table.throughput(name)),
                }
                for number, name in enumerate(ranking, 1)
            ],
            "rows": [
                {"who": _shown(first, table), "cells": [_cell(table.of(first, second)) for second in ranking]}
                for first in ranking
            ],
            "troubles": [
                f"{_shown(one.first, table)} and {_shown(one.second, table)}: {one.message}"
                for one in table.duels
                if one.message
            ],
        },
    )


def _cell(duel: Duel | None) -> dict[str, str]:
    if duel is None:
        return {"text": "", "colour": "", "title": "they have not met"}
    share = duel.share
    if share is None:
        return {"text": "–", "colour": "", "title": duel.message or "nothing arrived"}
    title = (
        f"{_rate(duel.first_bps)} against {_rate(duel.second_bps)}, Jain's index {_number(duel.jain)}, "
        f"utilisation {'–' if duel.utilisation is None else f'{duel.utilisation:.0%}'}"
    )
    return {"text": f"{share:.0%}", "colour": _colour(share), "title": title}


def _colour(share: float) -> str:
    """Return the colour of a share: white at one half, blue where a player gets less, orange where it gets more.

    The two hues differ for people with any kind of colour blindness; the text on them is dark in any case.
    """
    away = min(1.0, abs(share - 0.5) * 2)
    hue = 28 if share > 0.5 else 212
    return f"hsl({hue} 85% {97 - 37 * away:.0f}%)"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _rate(value: float | None) -> str:
    return "–" if value is None else format_rate(value, 3)
