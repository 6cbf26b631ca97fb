# SPDX-License-Identifier: Apache-2.0
"""The version of this installation, and the commit if it is a checkout."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "tcp-lab"
"""The name in pyproject.toml, under which pip knows the package."""

_FOLDER = Path(__file__).resolve().parents[1]


def version() -> str:
    """Return the version in the form ``0.1.0``."""
    return metadata.version(DISTRIBUTION)


def commit(folder: Path = _FOLDER) -> str | None:
    """Return the commit that is checked out in *folder*, with ``-dirty`` if files have been changed since.

    It is None if *folder*, which contains the package, is not the top of a checkout, or if git does not tell.
    """
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # git is not installed
        return None
    return done.stdout.strip() or None


def version_text() -> str:
    """Return what ``lab --version`` prints: ``lab 0.1.0``, or ``lab 0.1.0 (commit 0123456789ab)`` in a checkout."""
    found = commit()
    return f"lab {version()}" + (f" (commit {found})" if found else "")
