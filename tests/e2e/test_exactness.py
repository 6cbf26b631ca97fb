# SPDX-License-Identifier: Apache-2.0
"""The same experiment gives the same bytes, whatever goes on on the machine."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.conditions import conditions, replay
from lab.engine.vm.engine import VmEngine

pytestmark = pytest.mark.vm

BY_DAY = ("as it is", "stopped and continued all the time")
"""The conditions that are tried every time; `make nightly` tries all of them a hundred times, in both engines."""


def test_all_conditions_give_the_same_records_in_virtual_machines(
    engine: VmEngine, pytestconfig: pytest.Config
) -> None:
    assert engine is not None
    found = dict(islice(conditions(), 5))
    names = found if pytestconfig.getoption("nightly") else BY_DAY
    assert len(found) == 5
    digests = {name: replay("vm", found[name], ["bbr"]) for name in names}
    assert len(set(digests.values())) == 1, digests
