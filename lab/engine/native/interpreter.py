# SPDX-License-Identifier: Apache-2.0
"""Find a Python interpreter that can import the Debian packages that the agent needs.

A virtual environment does not see these packages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import InputError
from lab.words import listed

PYTHON_PATH = str(Path(__file__).with_name("path"))
"""The value of ``PYTHONPATH`` with which another interpreter finds the package ``lab`` and nothing else."""

_SYSTEM_PYTHON = "/usr/bin/python3"


def find_interpreter(modules: Mapping[str, str]) -> str:
    """Return the path of a Python interpreter that can import *modules* (name → the Debian package that has it).

    Raises:
        InputError: There is no such interpreter; the message names the packages to install.
    """
    tried = []
    for candidate in _candidates():
        done = subprocess.run([candidate, "-c", f"import {', '.join(modules)}"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
        tried.append(candidate)
    names, packages = listed(modules), " ".join(modules.values())
    raise InputError(
        f"no Python with {names}: cannot import it in {', '.join(tried)}; "
        f"install the package {packages} (`lab doctor --fix` installs it)"
    )


def _candidates() -> Iterator[str]:
    found = [sys.executable, _SYSTEM_PYTHON, shutil.which("python3")]
    yield from dict.fromkeys(path for path in found if path and Path(path).exists())
