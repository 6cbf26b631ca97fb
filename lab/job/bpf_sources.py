# SPDX-License-Identifier: Apache-2.0
"""Where the C sources of the BPF programs are: the only module that knows it.

An installed package has them inside (``lab/bpf``).  In a checkout and in the guest they are next to the package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def bpf_sources(package: Path = _PACKAGE) -> Path:
    """Return the folder with the sources that belong to the ``lab`` package in the folder *package*."""
    inside = package / "bpf"
    return inside if inside.is_dir() else package.parent / "bpf"


BPF_SOURCES = bpf_sources()
"""The folder of the sources that belong to this package."""
