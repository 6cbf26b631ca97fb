# SPDX-License-Identifier: Apache-2.0
"""``lab trace`` on the host's side: find the interpreter that has bcc, and become it.

bcc is one of Debian's packages, which a virtual environment does not see; the tracer needs nothing else but the
standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from lab.errors import InputError

_SYSTEM_PYTHON = "/usr/bin/python3"


def run_tracer(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the tracer.  Raises :class:`~lab.errors.InputError` where there is no bcc."""
    if sys.platform != "linux":
        raise InputError(f"tracing needs Linux; this is {sys.platform}")
    interpreter = find_interpreter()
    sys.stdout.flush()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    os.execve(interpreter, [interpreter, "-m", "lab.agent.live", *arguments], environment)


def find_interpreter() -> str:
    tried = []
    for candidate in _candidates():
        done = subprocess.run([candidate, "-c", "import bcc"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
        tried.append(candidate)
    raise InputError(
        f"no Python with bcc: {', '.join(tried)} cannot import it; install the package python3-bpfcc (make setup does)"
    )


def _candidates() -> Iterator[str]:
    found = [sys.executable, _SYSTEM_PYTHON, shutil.which("python3")]
    yield from dict.fromkeys(path for path in found if path and Path(path).exists())
