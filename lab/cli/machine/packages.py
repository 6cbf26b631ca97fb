# SPDX-License-Identifier: Apache-2.0
"""The Debian packages that lab uses: which of them are missing, and how they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lab.engine.native.interpreter import find_interpreter
from lab.errors import InputError, MachineryError

_MODULE = "python:"
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""On Debian, PATH has these only for root, but the programs in them are there for all."""


@dataclass(frozen=True)
class Package:
    """A Debian package."""

    name: str
    sign: str
    """What shows that it is installed: a program, a file (its absolute path), or ``python:`` and a module."""
    purpose: str
    """What needs it: ``virtual`` (trials in virtual time), ``native`` (the native engine and ``lab trace``), or ``own``
    (congestion controls that the user has written)."""

    def is_installed(self) -> bool:
        """Return whether what the package provides is there, even if it came from somewhere else."""
        if self.sign.startswith("/"):
            return Path(self.sign).exists()
        if self.sign.startswith(_MODULE):
            try:
                find_interpreter({self.sign.removeprefix(_MODULE): self.name})
            except InputError:
                return False
            return True
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), _SYSTEM_FOLDERS])
        return shutil.which(self.sign, path=path) is not None


def packages() -> list[Package]:
    """Return all packages that lab uses."""
    text = resources.files("lab.cli.machine").joinpath("debian-packages.txt").read_text(encoding="utf-8")
    return [Package(*line.split()) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def missing() -> list[Package]:
    """Return the packages that are not installed."""
    return [package for package in packages() if not package.is_installed()]


def install_commands(names: Sequence[str]) -> list[list[str]]:
    """Return the commands that install the packages *names*.

    Raises:
        MachineryError: There is no apt, or no sudo for a user who is not root.
    """
    listed = " ".join(names)
    if shutil.which("apt-get") is None:
        raise MachineryError(f"there is no apt-get, so this is neither Debian nor Ubuntu; install yourself: {listed}")
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    if as_root and shutil.which("sudo") is None:
        raise MachineryError(f"installing packages needs root, and there is no sudo; as root, install: {listed}")
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    return [[*apt, "update", "-q"], [*apt, "install", "-y", "-q", "--no-install-recommends", *names]]


def carry_out(commands: Sequence[Sequence[str]]) -> None:
    """Run the commands one after the other; what they print goes to standard error.

    Raises:
        MachineryError: A command failed.
    """
    for command in commands:
        done = subprocess.run(command, stdout=2, check=False)
        if done.returncode != 0:
            raise MachineryError(f"`{' '.join(command)}` failed (exit status {done.returncode})")
