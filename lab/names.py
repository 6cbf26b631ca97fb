# SPDX-License-Identifier: Apache-2.0
"""The names and words that end up in paths of files and in command lines, and what they may consist of.

Experiments and stored jobs are held to the same expressions, because both are written by others: a word with a slash or
a newline in it would otherwise lead out of a folder, or be a second command.  Use :func:`re.fullmatch`.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "CONGESTION_CONTROL",
    "FLOW",
    "HOST_OR_ADDRESS",
    "MODULE_PARAMETER",
    "NODE",
    "SETTING",
    "SYSCTL",
    "TC_NAME",
    "TC_WORD",
    "Discipline",
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

Discipline = Literal["bfifo", "pfifo", "codel", "fq_codel", "fq", "pie", "fq_pie", "red", "sfq", "cake"]
"""The queueing disciplines of ``tc`` that a queue may have."""
