# SPDX-License-Identifier: Apache-2.0
"""The code that runs trials: the agent and the BPF programs, with their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lab.engine.image import cpio
from lab.errors import EngineError

_PACKAGE = Path(__file__).resolve().parents[1]
_SHIPPED = ("job", "agent")
"""The folders of the package that the guest gets, whole; :func:`bpf_files` is the third."""


def agent_files() -> dict[str, bytes]:
    """Return the Python that runs trials: path in the guest, below ``/run/lab`` → content."""
    own = [path for folder in _SHIPPED for path in sorted((_PACKAGE / folder).rglob("*.py"))]
    paths = [_PACKAGE / "__init__.py", *own]
    return {f"lab/{path.relative_to(_PACKAGE)}": path.read_bytes() for path in paths}


def bpf_files() -> dict[str, bytes]:
    directory = _PACKAGE.parent / "bpf"
    files = {f"bpf/{path.relative_to(directory)}": path.read_bytes() for path in sorted(directory.rglob("*.[ch]"))}
    if not files:
        raise EngineError(f"no BPF sources in {directory}; run lab from a checkout installed with 'pip install -e .'")
    return files


def archive(more: Mapping[str, bytes] = {}) -> bytes:
    """All of it, and *more* files, as the guest unpacks it over its initramfs: below ``/lab``."""
    files = {**agent_files(), **bpf_files(), **more}
    return cpio.archive({f"lab/{name}": content for name, content in files.items()})


def digest(files: dict[str, bytes]) -> str:
    """SHA-256 over names and contents, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return total.hexdigest()
