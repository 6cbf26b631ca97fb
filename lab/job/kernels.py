# SPDX-License-Identifier: Apache-2.0
"""The kernels that a trial can run on, and their names in jobs and images.

``debian-12`` and ``debian-13`` are the newest kernels of these releases, ``debian-13-backports`` is the newest one of
Debian 13's backports; ``deb-DIGEST`` is a kernel from the user's own
Debian package, named by the SHA-256 of the package.  ``uml-7.3`` is User-mode Linux, compiled from Debian's package
linux-source-7.3.
"""

from __future__ import annotations

import re

DEBIAN = {"debian-12": "bookworm", "debian-13": "trixie", "debian-13-backports": "trixie-backports"}
"""Name of a kernel → code name of the Debian release."""

DEFAULT = "debian-13"

UML = {"uml-7.3": "7.3"}
"""Name of a kernel → the version in the name of Debian's package with its source."""

DEFAULT_UML = "uml-7.3"

ALGORITHMS = (
    "reno", "cubic", "bbr", "vegas", "westwood", "htcp", "highspeed", "hybla", "illinois", "scalable", "veno", "yeah",
    "bic", "lp", "nv", "cdg", "dctcp",
)  # fmt: skip
"""The congestion control algorithms of Debian's kernels."""

CONFIRMING = {"uml-7.3": "debian-13-backports"}
"""Kernel of User-mode Linux → the kernel of a virtual machine that has the same version of Linux."""

_PACKAGE = "deb-"
_SEEDS_SINCE = (6, 6)
"""The first version of Linux with TCA_NETEM_PRNG_SEED (include/uapi/linux/pkt_sched.h)."""


def default_of(engine: str) -> str:
    """Return the name of the kernel that trials of this engine run on if the experiment names none."""
    return DEFAULT_UML if engine == "uml" else DEFAULT


def of_package(sha256: str) -> str:
    """Return the name of the kernel in a package with this digest (in hexadecimal)."""
    return _PACKAGE + sha256


def netem_takes_seeds(release: str) -> bool:
    """Return whether ``tc`` can seed the random numbers of netem in a kernel of this release (``uname -r``)."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is None or (int(found[1]), int(found[2])) >= _SEEDS_SINCE


def is_package(name: str) -> bool:
    """Return whether this is the name of a kernel from the user's own package."""
    return name.startswith(_PACKAGE)
