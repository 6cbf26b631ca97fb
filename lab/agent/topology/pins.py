# SPDX-License-Identifier: Apache-2.0
"""Give BPF programs a name in the BPF file system, by which ``tc`` finds them."""

from __future__ import annotations

import os
from pathlib import Path

from lab.agent.collectors.btf import libbpf
from lab.agent.collectors.loader import LoaderError

_PINS = Path("/sys/fs/bpf")


class Pins:
    """The names of some loaded programs.  :meth:`close` removes them; programs that ``tc`` has attached stay loaded."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def pin(self, program: str, descriptor: int) -> Path:
        """Name a loaded program and return the path for ``tc``'s ``object-pinned``.

        Raises:
            LoaderError: There is no BPF file system, or it cannot be written.
        """
        path = _PINS / f"lab-{os.getpid()}-{program}"
        path.unlink(missing_ok=True)
        if libbpf().bpf_obj_pin(descriptor, str(path).encode()) != 0:
            raise LoaderError(
                f"cannot pin the BPF program {program} at {path}; is a BPF file system mounted at {_PINS}?"
            )
        self._paths.append(path)
        return path

    def close(self) -> None:
        """Remove all names."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths.clear()
