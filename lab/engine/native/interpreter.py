# SPDX-License-Identifier: Apache-2.0
"""Find a Python that has what the agent needs: Debian's packages, which a virtual environment does not see."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import InputError

_SYSTEM_PYTHON = "/usr/bin/python3"


def find_interpreter(modules: Mapping[str, str]) -> str:
    """Return a Python that has *modules* (name → the Debian package that it is in).

    Raises:
        InputError: There is none; the text says what to install.
    """
    tried = []
    for candidate in _candidates():
        done = subprocess.run([candidate, "-c", f"import {', '.join(modules)}"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
        tried.append(candidate)
    names, packages = " and ".join(modules), " ".join(modules.values())
    raise InputError(
        f"no Python with {names}: {', '.join(tried)} cannot import it; install the package {packages} (make setup does)"
    )


def _candidates() -> Iterator[str]:
    found = [sys.executable, _SYSTEM_PYTHON, shutil.which("python3")]
    yield from dict.fromkeys(path for path in found if path and Path(path).exists())
