# SPDX-License-Identifier: Apache-2.0
"""Collect the source code that runs trials (the agent and the BPF programs) and compute its digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lab.engine.image import cpio
from lab.errors import EngineError
from lab.job.bpf_sources import BPF_SOURCES

_PACKAGE = Path(__file__).resolve().parents[1]
_SHIPPED = ("job", "agent")
"""The folders of the package that are copied to the guest completely, besides those of :func:`bpf_files`."""

_ROOT = b"# SPDX-License-Identifier: Apache-2.0\n"
"""The package's own ``__init__.py`` in the guest.

On the host, this module is the interface for Python, which the guest does not have.  A change of the interface must not
change the digest of what runs in the guest.
"""


def agent_files() -> dict[str, bytes]:
    """Return the Python files that run trials, as path (in the guest, below ``/run/lab``) → content."""
    own = [path for folder in _SHIPPED for path in sorted((_PACKAGE / folder).rglob("*.py"))]
    return {"lab/__init__.py": _ROOT} | {f"lab/{path.relative_to(_PACKAGE)}": path.read_bytes() for path in own}


def bpf_files() -> dict[str, bytes]:
    """Return the C files of the BPF programs, as path (in the guest, below ``/run/lab``) → content.

    Raises:
        EngineError: The package was installed without them.
    """
    paths = sorted(BPF_SOURCES.rglob("*.[ch]"))
    files = {f"bpf/{path.relative_to(BPF_SOURCES)}": path.read_bytes() for path in paths}
    if not files:
        raise EngineError(f"there are no BPF sources in {BPF_SOURCES}; install lab again")
    return files


def archive(more: Mapping[str, bytes] = {}) -> bytes:
    """Return a cpio archive of all files and of *more*, below ``/lab``, for the guest to unpack over its initramfs."""
    files = {**agent_files(), **bpf_files(), **more}
    return cpio.archive({f"lab/{name}": content for name, content in files.items()})


def digest(files: dict[str, bytes]) -> str:
    """Return the SHA-256 digest of the names and contents of *files*, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return total.hexdigest()
