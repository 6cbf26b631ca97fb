# SPDX-License-Identifier: Apache-2.0
"""The kernels that a trial can run on, by the names that jobs and images know them under.

``debian-12`` and ``debian-13`` are the newest kernels of these releases; ``deb-DIGEST`` is a kernel from a Debian
package of the user's, by the SHA-256 of the package.
"""

from __future__ import annotations

import re

DEBIAN = {"debian-12": "bookworm", "debian-13": "trixie"}
"""Name → the release's code name."""

DEFAULT = "debian-13"

_PACKAGE = "deb-"
_SEEDS_SINCE = (6, 6)
"""TCA_NETEM_PRNG_SEED, include/uapi/linux/pkt_sched.h."""


def of_package(sha256: str) -> str:
    """Return the name of the kernel in a package of this digest (in hexadecimal)."""
    return _PACKAGE + sha256


def netem_takes_seeds(release: str) -> bool:
    """Return whether the netem of a kernel of this release (``uname -r``) draws from a seed that ``tc`` gives it."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is None or (int(found[1]), int(found[2])) >= _SEEDS_SINCE


def is_package(name: str) -> bool:
    return name.startswith(_PACKAGE)
