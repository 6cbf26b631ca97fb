# SPDX-License-Identifier: Apache-2.0
"""``lab trace`` on the host's side: find the interpreter that has bcc, and become it.

bcc is one of Debian's packages, which a virtual environment does not see; the tracer needs nothing else but the
standard library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lab.engine.native.interpreter import find_interpreter
from lab.errors import InputError


def run_tracer(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the tracer.  Raises :class:`~lab.errors.InputError` where there is no bcc."""
    if sys.platform != "linux":
        raise InputError(f"tracing needs Linux; this is {sys.platform}")
    interpreter = find_interpreter({"bcc": "python3-bpfcc"})
    sys.stdout.flush()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    os.execve(interpreter, [interpreter, "-m", "lab.live", *arguments], environment)
