# SPDX-License-Identifier: Apache-2.0
"""The figures of each captured experiment, drawn once."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from lab.report.figures.draw import all_figures
from lab.report.figures.drawn import Drawn
from lab.report.model import Report


@pytest.fixture(scope="session")
def figures(reports: Callable[[str], Report]) -> Callable[[str], dict[str, Drawn]]:
    """The figures of an experiment's report by their names."""

    @functools.cache
    def drawn(name: str) -> dict[str, Drawn]:
        return {figure.name: figure for _kind, figure in all_figures(reports(name))}

    return drawn
