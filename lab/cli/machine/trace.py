# SPDX-License-Identifier: Apache-2.0
"""The command ``lab trace``: find a Python interpreter that has bcc, and replace this process by the tracer.

Debian installs bcc for its own Python interpreter, so that it is not available in a virtual environment.  The tracer
needs only bcc and the standard library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from lab.engine.native.interpreter import PYTHON_PATH, find_interpreter
from lab.errors import InputError


def run_tracer(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the tracer.

    Raises:
        InputError: This is not Linux, or no interpreter has bcc.
    """
    if sys.platform != "linux":
        raise InputError(f"tracing needs Linux; this is {sys.platform}")
    interpreter = find_interpreter({"bcc": "python3-bpfcc"})
    if sys.stdout is not None:  # It is None if standard output is closed, which the tracer reports.
        sys.stdout.flush()
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    os.execve(interpreter, [interpreter, "-m", "lab.live", *arguments], environment)
