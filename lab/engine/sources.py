# SPDX-License-Identifier: Apache-2.0
"""The code that runs trials: the agent and the BPF programs, with their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lab.errors import EngineError
from lab.image import cpio

_PACKAGE = Path(__file__).resolve().parents[1]
_ALONGSIDE = ("__init__.py", "protocol.py", "mailbox.py", "network.py", "drop_causes.py", "kernels.py")


def agent_files() -> dict[str, bytes]:
    """Path below ``lab/`` in the guest → content."""
    agent = _PACKAGE / "agent"
    own = (path for path in sorted(agent.rglob("*.py")) if (agent / "live") not in path.parents)
    paths = [*(_PACKAGE / name for name in _ALONGSIDE), *own]
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
