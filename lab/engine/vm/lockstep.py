# SPDX-License-Identifier: Apache-2.0
"""Compile ``lockstep.c``, a library that is preloaded into QEMU; its first comment explains its purpose."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from importlib import resources
from pathlib import Path

from lab.errors import EngineError
from lab.store import integrity, places
from lab.store.folders import new_folder, remove_folder

_COMPILER = "cc"
_LIBRARY = "lockstep.so"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-shared", "-fPIC")


def source() -> bytes:
    """Return the source code of the library."""
    return resources.files("lab.engine.vm").joinpath("lockstep.c").read_bytes()


def digest() -> str:
    """Return the SHA-256 digest of the source code, which is also the name of the library's folder in the cache."""
    return hashlib.sha256(source()).hexdigest()


def library() -> Path:
    """Return the path of the compiled library in the cache; compile it if it is not there, or damaged.

    Raises:
        EngineError: The compiler is missing or fails.
    """
    final = places.cache_root() / "lockstep" / digest()
    if integrity.problem_in(final, (_LIBRARY,)) is None:
        return final / _LIBRARY
    compiler = shutil.which(_COMPILER)
    if compiler is None:
        raise EngineError(f"{_COMPILER} is not installed; it is in the package gcc (`lab doctor --fix` installs it)")
    remove_folder(final)
    # If two processes compile it at the same time, the first library stays.
    with new_folder(final, if_there="keep") as folder:
        done = subprocess.run(
            [compiler, *_FLAGS, "-x", "c", "-", "-o", str(folder / _LIBRARY), "-ldl"],
            input=source(),
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise EngineError(f"{_COMPILER} cannot compile lockstep.c: {done.stderr.decode(errors='replace').strip()}")
        integrity.write_list(folder, becomes=final)
    return final / _LIBRARY
