# SPDX-License-Identifier: Apache-2.0
"""Enumerations in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def listed(parts: Iterable[str], word: str = "and", *, is_serial: bool = False) -> str:
    """Return *parts* as in a sentence: ``a``, ``a and b``, ``a, b and c``; empty without parts.

    With *is_serial*, three parts or more have a comma before the last one, too.  Phrases need it: ``at loss 0 %, at
    loss 1 %, and at loss 2 %``.
    """
    *most, last = list(parts) or [""]
    if not most:
        return last
    return f"{', '.join(most)}{',' if is_serial and len(most) > 1 else ''} {word} {last}"
