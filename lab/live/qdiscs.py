# SPDX-License-Identifier: Apache-2.0
"""Which queueing disciplines the interfaces have: the cause of a drop is inferred from them."""

from __future__ import annotations

import json
import subprocess
import time

_VALID_S = 1.0


class Qdiscs:
    """The queueing disciplines of this process's network namespace, which may change while a trace runs."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[str]] = {}
        self._valid_until = 0.0

    def kinds(self) -> dict[str, list[str]]:
        """Return interface → kinds of its queueing disciplines, as they were at most a second ago."""
        if time.monotonic() >= self._valid_until:
            self._kinds = _shown()
            self._valid_until = time.monotonic() + _VALID_S
        return self._kinds


def _shown() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        shown = subprocess.run(["tc", "-j", "qdisc", "show"], capture_output=True, check=True).stdout
        for qdisc in json.loads(shown):
            if qdisc["kind"] == "clsact":
                continue  # clsact only holds filters; which program added them is unknown, so it explains no drop.
            found.setdefault(qdisc["dev"], []).append(qdisc["kind"])
    except (OSError, subprocess.CalledProcessError, ValueError):
        return {}  # Without this information, the causes of drops follow from the kernel's drop reasons alone.
    return found
