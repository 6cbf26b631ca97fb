# SPDX-License-Identifier: Apache-2.0
"""The same experiment gives the same bytes, whatever goes on on the machine."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.conditions import conditions, replays
from lab.engine.vm.engine import VmEngine

pytestmark = pytest.mark.vm


def test_five_conditions_give_the_same_records_in_virtual_machines(engine: VmEngine) -> None:
    digests: dict[str, str] = {}
    replays("vm", 5, digests.__setitem__, algorithms=["bbr"])
    assert digests.keys() == {name for name, _condition in islice(conditions(), 5)}
    assert len(set(digests.values())) == 1, digests
