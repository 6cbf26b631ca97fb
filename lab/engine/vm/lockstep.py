# SPDX-License-Identifier: Apache-2.0
"""Compile ``lockstep.c``, which is preloaded into QEMU: see there what it is for."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path

from lab.errors import EngineError
from lab.store import places

_COMPILER = "cc"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-shared", "-fPIC")


def source() -> bytes:
    return resources.files("lab.engine.vm").joinpath("lockstep.c").read_bytes()


def digest() -> str:
    return hashlib.sha256(source()).hexdigest()


def library() -> Path:
    """The compiled library, from the cache or made now.  Raises :class:`~lab.errors.EngineError`."""
    path = places.cache_root() / "lockstep" / f"{digest()}.so"
    if path.exists():
        return path
    compiler = shutil.which(_COMPILER)
    if compiler is None:
        raise EngineError(f"{_COMPILER} is not installed; it is in the package gcc (make setup installs it)")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        done = subprocess.run(
            [compiler, *_FLAGS, "-x", "c", "-", "-o", str(partial), "-ldl"],
            input=source(),
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise EngineError(f"{_COMPILER} cannot compile lockstep.c: {done.stderr.decode(errors='replace').strip()}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
