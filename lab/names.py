# SPDX-License-Identifier: Apache-2.0
"""The names and words that end up in paths of files and in command lines, and what they may consist of.

Experiments and stored jobs are held to the same expressions, because both are written by others: a word with a slash or
a newline in it would otherwise lead out of a folder, or be a second command.  Use :func:`re.fullmatch`.

The paths of files that an experiment names may be any; :func:`place_of_input` says where a run's folder keeps them.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Literal

__all__ = [
    "CONGESTION_CONTROL",
    "FLOW",
    "HOST_OR_ADDRESS",
    "INPUTS",
    "KERNEL_VERSION",
    "MODULE_PARAMETER",
    "NODE",
    "SETTING",
    "SYSCTL",
    "TC_NAME",
    "TC_WORD",
    "Discipline",
    "kernel_and_version",
    "place_of_input",
]

NODE = r"^[A-Za-z][A-Za-z0-9_]{0,8}$"
"""The name of a node; followed by ``-eth99``, it fits in IFNAMSIZ (16, including the terminating NUL)."""
FLOW = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"
"""The name of a flow or probe as it is declared."""
CONGESTION_CONTROL = r"^[a-z0-9_]{1,15}$"
"""The name of a congestion control algorithm (TCP_CA_NAME_MAX is 16)."""
MODULE_PARAMETER = r"^[a-z][a-z0-9_]{0,40}$"
"""The name of a parameter of a kernel module."""
SYSCTL = r"^net\.[a-z0-9_]+(\.[A-Za-z0-9_-]+)+$"
"""The name of a sysctl of the network."""
SETTING = r"^[A-Za-z0-9_. -]{1,200}$"
"""The value of a sysctl or of a module's parameter."""
TC_NAME = r"^[a-z][a-z0-9_-]*$"
"""The name of a parameter of ``tc``."""
TC_WORD = r"^[A-Za-z0-9][A-Za-z0-9._%]*$"
"""The value of a parameter of ``tc``."""
HOST_OR_ADDRESS = r"^[A-Za-z0-9_.:]{1,45}$"
"""The name of a node, or an address of IPv4 or IPv6."""
KERNEL_VERSION = r"^[0-9][A-Za-z0-9.+~-]{0,63}$"
"""The version of a kernel's Debian package (Debian Policy, section 5.6.12, without an epoch), or its release."""

Discipline = Literal["bfifo", "pfifo", "codel", "fq_codel", "fq", "pie", "fq_pie", "red", "sfq", "cake"]
"""The queueing disciplines of ``tc`` that a queue may have."""

INPUTS = "inputs"
"""The folder, in that of a run, with the files that the experiment names."""

_OUTSIDE = "outside-"
_MOST_BYTES = 200


def kernel_and_version(name: str) -> tuple[str, str]:
    """Split the name of a kernel in two: ``debian-13=6.12.115-1`` is that version of ``debian-13``.

    The version is empty if the name has none.
    """
    kernel, _, version = name.partition("=")
    return kernel, version


def place_of_input(name: str) -> PurePosixPath:
    """Return the path, relative to :data:`INPUTS`, of the file that an experiment names *name*.

    A path below the folder of the experiment file stays as it is.  Any other one (an absolute path, one with ``..``,
    one that is not written in the shortest way) becomes ``outside-<digest of the path>-<last part of the path>``.  No
    two names therefore have the same place, and no place is outside of the folder.
    """
    path = PurePosixPath(name)
    is_below = (
        str(path) == name
        and bool(path.parts)
        and not path.is_absolute()
        and not path.parts[0].startswith(_OUTSIDE)
        and all(part != ".." and not part.startswith(".tmp-") for part in path.parts)
        and all(len(part.encode(errors="surrogatepass")) <= _MOST_BYTES for part in path.parts)
        and name.isprintable()
    )
    if is_below:
        return path
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return PurePosixPath(f"{_OUTSIDE}{digest}-{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)[: _MOST_BYTES - 50]}")
