# SPDX-License-Identifier: Apache-2.0
"""The kernel that trials run on: one of Debian's, a version of one, one from the user's package, or User-mode Linux.

This module does no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from lab.experiment.schema.contents import content_of
from lab.job import kernels
from lab.names import KERNEL_VERSION, kernel_and_version
from lab.units import show

__all__ = ["EXPECTED", "SUFFIX", "Kernel", "KernelPackage", "is_version"]

SUFFIX = ".deb"
_NAMES = (*kernels.DEBIAN, *kernels.UML)
EXPECTED = (
    f"expected {', '.join(_NAMES)}, a version of one of Debian's, such as {kernels.DEFAULT}=6.12.115-1, or the path of "
    f"a Debian package, *{SUFFIX}"
)


@dataclass(frozen=True)
class KernelPackage:
    """A Debian package that contains a kernel."""

    sha256: str
    """The SHA-256 digest of the package, in hexadecimal."""
    path: Path

    @property
    def name(self) -> str:
        """The name of the kernel in jobs and images."""
        return kernels.of_package(self.sha256)


def is_version(value: object) -> bool:
    """Return whether this is the name of a version of one of Debian's kernels, such as ``debian-13=6.12.115-1``."""
    name, version = kernel_and_version(value) if isinstance(value, str) else ("", "")
    return name in kernels.DEBIAN and re.fullmatch(KERNEL_VERSION, version) is not None


def _kernel(value: Any, info: ValidationInfo) -> str:
    if value in _NAMES or is_version(value):
        return str(value)
    if not isinstance(value, str) or not value.endswith(SUFFIX):
        raise ValueError(f"found {show(value)}; {EXPECTED}")
    package: KernelPackage = content_of("kernel", value, info)
    return package.name


Kernel = Annotated[
    str,
    PlainValidator(_kernel),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(_NAMES)},
                {"type": "string", "pattern": f"^({'|'.join(kernels.DEBIAN)})={KERNEL_VERSION[1:]}"},
                {"type": "string", "pattern": r"\.deb$"},
            ]
        }
    ),
]
"""The name of a kernel as in :mod:`lab.job.kernels`; a file has this name or the path of a package."""
