# SPDX-License-Identifier: Apache-2.0
"""What two real kernels say about typical mistakes, and whether it is explained; and that they accept the starters.

``python -m tests.guest.test_mistakes`` writes what they say into ``tests/data/mistakes/said`` for the fast tests.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
import zlib
from pathlib import Path

import pytest

from lab.cc.compiler import INCLUDE, compile_source
from lab.cc.sources import gather
from lab.engine.vm.engine import VmEngine
from lab.job.protocol import Algorithm
from tests.guest.own_guest import run_script
from tests.mistakes import COMPILER, FOLDER, Mistake, mistakes, put_captured

pytestmark = [pytest.mark.vm, pytest.mark.nightly]

KERNELS = ("debian-13", "debian-12")
LOADED = {name: one for name, one in mistakes().items() if one.who not in COMPILER}
STARTERS = sorted((INCLUDE.parent / "starters").glob("*.bpf.c"))
