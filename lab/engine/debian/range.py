# SPDX-License-Identifier: Apache-2.0
"""Which of Debian's kernels are between two others."""

from __future__ import annotations

from collections.abc import Sequence

from lab.engine.debian.archive import DebianKernel, offered
from lab.engine.debian.bootstrap import Progress
from lab.errors import InputError
from lab.job import kernels
from lab.names import kernel_and_version


def kernels_between(good: str, bad: str, progress: Progress) -> list[DebianKernel]:
    """Return the kernels that Debian's archive offers or the cache keeps, from *good* to *bad*.

    Raises:
        ImageError: The archive cannot be read.
        InputError: One of the two is not offered, or they are the same.
    """
    releases = list(kernels.DEBIAN)
    first, last = sorted(releases.index(kernel_and_version(kernel)[0]) for kernel in (good, bad))
    return versions_between(good, bad, offered(releases[first : last + 1], progress))


def versions_between(good: str, bad: str, offered: Sequence[DebianKernel]) -> list[DebianKernel]:
    """Return the kernels from *good* to *bad*, both included; *offered* has all kernels, the oldest first.

    A kernel without a version is the newest one of its release that has no other release's number.  Of a version that
    several releases have, such as 6.12.107-1 and 6.12.107-1~deb12u1, there is only one.

    Raises:
        InputError: One of the two is not offered, or they are the same.
    """
    first, last = _place(good, offered), _place(bad, offered)
    if first == last:
        raise InputError(f"--bad: found {bad}, which is the good kernel, too; expected another one")
    low, high = min(first, last), max(first, last)
    ends = {offered[low], offered[high]}
    seen = {_upstream(one) for one in ends}
    found = []
    for one in offered[low : high + 1]:
        if one in ends or _upstream(one) not in seen:
            found.append(one)
            seen.add(_upstream(one))
    return found if first < last else found[::-1]


def _upstream(kernel: DebianKernel) -> str:
    return kernel.version.partition("~")[0]


def _place(kernel: str, offered: Sequence[DebianKernel]) -> int:
    name, version = kernel_and_version(kernel)
    own = [place for place, one in enumerate(offered) if one.name == name]
    if version:
        own = [place for place in own if version in (offered[place].version, offered[place].release)]
    else:
        # Debian 12 also has Debian 13's kernel, as 6.12.107-1~deb12u1; its own kernel is the other one.
        own = [place for place in own if "~deb" not in offered[place].version] or own
    if not own:
        versions = ", ".join(one.version for one in offered if one.name == name) or "no kernel"
        raise InputError(f"found {kernel}, which Debian's archive does not offer; of {name}, it offers {versions}")
    return own[-1]
