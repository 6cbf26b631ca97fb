# SPDX-License-Identifier: Apache-2.0
"""Compile ``lockstep.c``, a library that is preloaded into QEMU; its first comment explains its purpose."""

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
    """Return the source code of the library."""
    return resources.files("lab.engine.vm").joinpath("lockstep.c").read_bytes()


def digest() -> str:
    """Return the SHA-256 digest of the source code, which is also the name of the compiled library."""
    return hashlib.sha256(source()).hexdigest()


def library() -> Path:
    """Return the path of the compiled library in the cache; compile it if it is not there.

    Raises:
        EngineError: The compiler is missing or fails.
    """
    path = places.cache_root() / "lockstep" / f"{digest()}.so"
    if path.exists():
        return path
    compiler = shutil.which(_COMPILER)
    if compiler is None:
        raise EngineError(f"{_COMPILER} is not installed; it is in the package gcc (`lab doctor --fix` installs it)")
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
