# SPDX-License-Identifier: Apache-2.0
"""Read files: experiments, and those that experiments name.

This is the only module of the package that touches the file system.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.errors import SpecError
from lab.experiment.check.problems import nearest
from lab.experiment.read.document import Place
from lab.experiment.schema.amounts import parse_sizes
from lab.experiment.schema.capacity import parse_capacity
from lab.experiment.schema.contents import Kind
from lab.experiment.schema.kernel import SUFFIX, KernelPackage

__all__ = ["MAX_FILE_BYTES", "decoded", "moved", "named_files", "package_in", "read"]

MAX_FILE_BYTES = 128 * 1024
"""Some fifty times the longest experiment that we ship."""

MAX_NAMED_BYTES = 16 * 1024 * 1024
"""Of a file that an experiment names."""

_KINDS: dict[str, Kind] = {"capacity": "capacity", "file": "sizes", "kernel": "kernel"}
"""Field that names a file → what kind of file."""
_PARSERS: dict[Kind, Callable[[str], object]] = {"capacity": parse_capacity, "sizes": parse_sizes}


def named_files(folder: Path, root: Any) -> tuple[dict[tuple[Kind, str], object], dict[str, bytes]]:
    """Read every file that a document names anywhere, by a path relative to *folder*.

    Returns what :data:`~lab.experiment.schema.contents.Contents` describes, and a mapping from each path as written to
    the bytes of the file; kernels, which are large, are left out of the second.
    """
    contents: dict[tuple[Kind, str], object] = {}
    files: dict[str, bytes] = {}
    for kind, name in sorted(set(_named(root, ""))):
        path = folder / name
        try:
            if kind == "kernel":
                contents[kind, name] = package_in(path)
                continue
            data = read(path, MAX_NAMED_BYTES)
            contents[kind, name] = _PARSERS[kind](decoded(path, data))
            files[name] = data
        except SpecError as error:
            contents[kind, name] = str(error)
        except ValueError as error:
            contents[kind, name] = f"{path}: {error}"
    return contents, files


def _named(part: Any, key: str) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, path) of the files that *part*, the value of *key*, names; a matrix's key ends in its field's."""
    if isinstance(part, Mapping):
        for name, value in part.items():
            yield from _named(value, str(name).rpartition(".")[2])
    elif isinstance(part, list):
        for value in part:
            yield from _named(value, key)
    elif _names_file(part, key):
        yield _KINDS[key], part


def _names_file(part: Any, key: str) -> bool:
    return isinstance(part, str) and bool(part) and key in _KINDS and (key != "kernel" or part.endswith(SUFFIX))


def moved(part: Any, origin: Path, folder: Path, key: str = "") -> Any:
    """Return a document with the paths in it, which are relative to *origin*, made relative to *folder*."""
    if isinstance(part, dict):
        return {name: moved(value, origin, folder, str(name).rpartition(".")[2]) for name, value in part.items()}
    if isinstance(part, list):
        return [moved(value, origin, folder, key) for value in part]
    return os.path.relpath(origin / part, folder) if _names_file(part, key) else part


def package_in(path: Path) -> KernelPackage:
    """Return what is to be known of a kernel's package.

    Raises:
        SpecError: It cannot be read, or is no Debian package.
    """
    try:
        with path.open("rb") as file:
            if file.read(8) != b"!<arch>\n":
                raise SpecError(f"{path}: this is no Debian package; expected one, with a kernel in it")
            file.seek(0)
            return KernelPackage(hashlib.file_digest(file, "sha256").hexdigest(), path)
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error


def read(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise SpecError(
                f"{path}: this is {kind}; expected an experiment file, such as experiments/cubic_vs_bbr.yaml"
            )
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file{_similar(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{path}: cannot be read: {reason}") from error
    if len(data) > most:
        what = "an experiment file" if most == MAX_FILE_BYTES else "one that is shorter"
        raise SpecError(f"{path}: found more than {most // 1024} KiB; expected {what}")
    return data


def _similar(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        return ""
    close = nearest(path.name, names)
    return f"; did you mean '{path.parent / close}'?" if close else ""


def decoded(path: Path, data: bytes) -> str:
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        found = f"found byte 0x{data[error.start]:02x}; expected text in UTF-8"
        raise SpecError(f"{path}:{place.line}:{place.column}: {found}") from None
