# SPDX-License-Identifier: Apache-2.0
"""Read experiment files, and the files that they name.

No other module of the package accesses the file system.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.cc.compiler import compile_source
from lab.cc.module import ModuleSource, packed_source
from lab.cc.packed import packed
from lab.cc.sources import MAX_SOURCE_BYTES, MODULE_SUFFIX, gather
from lab.cc.sources import SUFFIX as SOURCE_SUFFIX
from lab.errors import InputError, SpecError
from lab.experiment.check.problems import nearest
from lab.experiment.read.document import Place
from lab.experiment.schema.amounts import parse_sizes
from lab.experiment.schema.capacity import parse_capacity
from lab.experiment.schema.congestion import OwnAlgorithm, key_of_source
from lab.experiment.schema.contents import Kind
from lab.experiment.schema.kernel import SUFFIX, KernelPackage
from lab.names import INPUTS, place_of_input

__all__ = ["MAX_FILE_BYTES", "decoded", "moved", "named_files", "package_in", "read"]

MAX_FILE_BYTES = 128 * 1024
"""The largest experiment file: about fifty times the longest one that we ship."""

MAX_NAMED_BYTES = 16 * 1024 * 1024
"""The largest file that an experiment may name, other than a kernel."""

_KINDS: dict[str, Kind] = {"capacity": "capacity", "file": "sizes", "kernel": "kernel"}
"""Name of a field that holds a file's path → the kind of that file."""
_SOURCE_FIELDS = ("cc", "source")
_PARSERS: dict[Kind, Callable[[str], object]] = {"capacity": parse_capacity, "sizes": parse_sizes}


def named_files(experiment: Path, root: Any) -> tuple[dict[tuple[Kind, str], object], dict[str, bytes]]:
    """Read each file that the document of the file *experiment* names; paths are relative to the folder of that file.

    The files of an experiment that is stored with a run are in the folder ``inputs`` of the run.

    Returns the parsed files, as :data:`~lab.experiment.schema.contents.Contents` describes them, and a mapping from
    each path as written in the document to the bytes of the file.  Kernels, which are large, are not in the latter.
    """
    contents: dict[tuple[Kind, str], object] = {}
    files: dict[str, bytes] = {}
    for kind, name in sorted(set(_named(root, ""))):
        if kind == "cc":
            try:
                contents[kind, name] = _algorithm(experiment, name, files)
            except InputError as error:
                contents[kind, name] = str(error)
            continue
        path = _place(experiment, name)
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


def _place(experiment: Path, name: str) -> Path:
    """Return the path of the file that the experiment file names *name*."""
    folder = experiment.parent
    try:
        stored = folder / INPUTS / place_of_input(name)
        is_stored = experiment.name == "experiment.yaml" and (folder / "plan.json").is_file() and stored.is_file()
    except ValueError:  # The name has a zero byte.
        is_stored = False
    return stored if is_stored else folder / name


def _named(part: Any, key: str) -> Iterator[tuple[Kind, str]]:
    """Yield the kind and path of each file that is named in *part*, the value of the key *key*.

    The last part of a key of the matrix, such as ``topology.bottleneck.capacity``, is the name of a field.
    """
    if key == "cc" and (own := key_of_source(part)) is not None:
        yield "cc", own
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield from _named(value, str(name).rpartition(".")[2])
    elif isinstance(part, list):
        for value in part:
            yield from _named(value, key)
    elif key in _KINDS and _names_file(part, key):
        yield _KINDS[key], part


def _names_file(part: Any, key: str) -> bool:
    if key in _SOURCE_FIELDS:
        return isinstance(part, str) and part.endswith(SOURCE_SUFFIX)
    if key == "module":
        return isinstance(part, str) and part.endswith(MODULE_SUFFIX)
    return isinstance(part, str) and bool(part) and key in _KINDS and (key != "kernel" or part.endswith(SUFFIX))


def moved(part: Any, origin: Path, folder: Path, key: str = "") -> Any:
    """Return a copy of a document in which paths relative to *origin* are replaced by paths relative to *folder*."""
    if isinstance(part, dict):
        return {name: moved(value, origin, folder, str(name).rpartition(".")[2]) for name, value in part.items()}
    if isinstance(part, list):
        return [moved(value, origin, folder, key) for value in part]
    return os.path.relpath(origin / part, folder) if _names_file(part, key) else part


def _algorithm(experiment: Path, key: str, files: dict[str, bytes]) -> OwnAlgorithm:
    """Read and compile the source that an experiment names, and add it and its headers to *files*.

    *key* is a result of :func:`key_of_source`.  A module is compiled later, since its kernel is not known here.

    Raises:
        InputError: It cannot be read, or it does not compile.
        MachineryError: This machine lacks the compiler or its sandbox.
    """
    source, name, is_module = [*key.split("\0"), None, None][:3]
    assert source is not None
    written = posixpath.normpath(source)
    folder, file = posixpath.split(written)

    def read_beside(path: str) -> bytes | None:
        place = _place(experiment, posixpath.join(folder, path))
        if path != file and not place.is_file():
            return None
        _stays_in_folder(place)
        return read(place, MAX_SOURCE_BYTES)

    found = gather(file, read_beside, MODULE_SUFFIX if is_module else SOURCE_SUFFIX)
    files |= {posixpath.join(folder, path): data for path, data in found.files.items()}
    above = _in_short(experiment.parent / folder)
    shown = "" if above == "." else f"{above}/"
    if is_module and name is not None:
        module = packed_source(ModuleSource(name, found, shown))
        return OwnAlgorithm(name, found.sha256, packed(module), source, is_module=True)
    compiled = compile_source(found, shown, name)
    return OwnAlgorithm(compiled.name, found.sha256, packed(compiled.object), source)


def _in_short(folder: Path) -> str:
    """Return the path of a folder without ``..``, unless it would then be another folder because of a link."""
    short = os.path.normpath(folder)
    try:
        return short if os.path.samefile(short, folder) else str(folder)
    except OSError:
        return str(folder)


def _stays_in_folder(path: Path) -> None:
    """Raise a :class:`SpecError` if a file is a link that leads out of its folder.

    The author of a source may not be the one who runs it, and what clang says about a file quotes it.
    """
    try:
        if not path.resolve(strict=True).is_relative_to(path.parent.resolve()):
            raise SpecError(f"{path}: this is a link that leads out of its folder; expected a file")
    except (OSError, RuntimeError):
        return  # Reading it says why.


def package_in(path: Path) -> KernelPackage:
    """Return the path and the digest of a Debian package that contains a kernel.

    Raises:
        SpecError: The file cannot be read, or is not a Debian package.
    """
    try:
        with path.open("rb") as file:
            if file.read(8) != b"!<arch>\n":
                raise SpecError(f"{path}: this is not a Debian package; expected one that contains a kernel")
            file.seek(0)
            return KernelPackage(hashlib.file_digest(file, "sha256").hexdigest(), path)
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error


def read(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a regular file that is no larger than *most* bytes.

    Raises:
        SpecError: There is no such file, or it cannot be read or is too large.
    """
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
        what = "an experiment file" if most == MAX_FILE_BYTES else "a smaller file"
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
    """Return the text of the file *path*, decoded from UTF-8 without a byte order mark.

    Raises:
        SpecError: The bytes are not UTF-8; the message has the line and column of the first wrong byte.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        found = f"found byte 0x{data[error.start]:02x}; expected text in UTF-8"
        raise SpecError(f"{path}:{place.line}:{place.column}: {found}") from None
