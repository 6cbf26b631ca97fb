# SPDX-License-Identifier: Apache-2.0
"""The form in which jobs contain objects of congestion controls: compressed by zlib, in base64."""

from __future__ import annotations

import base64
import zlib

__all__ = ["packed", "unpacked"]


def packed(data: bytes) -> str:
    """Return the object of an algorithm as jobs contain it."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpacked(text: str) -> bytes:
    """Return what :func:`packed` has packed."""
    return zlib.decompress(base64.b64decode(text))
