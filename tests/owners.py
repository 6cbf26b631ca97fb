# SPDX-License-Identifier: Apache-2.0
"""Owners of what processes leave behind."""

from __future__ import annotations

import subprocess
import sys


def dead_name() -> str:
    """Return the name of an owner that has ended."""
    command = [sys.executable, "-c", "from lab.store.owner import own_name; print(own_name())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
