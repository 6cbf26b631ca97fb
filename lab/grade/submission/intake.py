# SPDX-License-Identifier: Apache-2.0
"""Read submissions: a file, a folder or an archive each.  What is in them may come from anybody.

Nothing of a submission is written, and no link in it is followed.  Only the files that the assignment asks for are
kept, each up to its own limit.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import InputError
from lab.grade.assignment.schema import Assignment, Handed
from lab.grade.submission.archives import ArchiveError, files_in_archive, is_archive
from lab.store.files import reason_of

__all__ = ["Submission", "read_class", "read_submission"]

_MOST_DEPTH = 8
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")
_CODE_SUFFIXES = (".bpf.c", ".c", ".ko")
_FOLDERS_OF_OTHERS = ("__MACOSX", ".git", ".github", "node_modules", "results")
"""Folders in submissions that nobody means to hand in."""


@dataclass(frozen=True)
class Submission:
    """What somebody has handed in."""

    name: str
    """Whose it is: the name of the file or folder."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Name of a file that the assignment asks for → its content."""
    problems: tuple[str, ...] = ()
    """Why it cannot be graded."""
    ignored: tuple[str, ...] = ()
    """The names of other files in it."""

    @property
    def digest(self) -> str:
        """The SHA-256 of all of its files, in hexadecimal."""
        found = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            found.update(f"{name}\0{len(content)}\0".encode() + content)
        for problem in self.problems:
            found.update(problem.encode(errors="surrogateescape"))
        return found.hexdigest()


def read_class(path: Path, assignment: Assignment) -> list[Submission]:
    """Return the submissions of a class: each entry of the folder *path* is one, sorted by their names.

    Raises:
        InputError: The folder cannot be read, or is empty.
    """
    try:
        entries = sorted(entry.name for entry in os.scandir(path) if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from error
    entries = [name for name in entries if name not in _FOLDERS_OF_OTHERS]
    if not entries:
        raise InputError(f"{path}: found an empty folder; expected a folder, file or archive for each submission")
    return [read_submission(path / name, assignment) for name in entries]


def is_submission(path: Path, assignment: Assignment) -> bool:
    """Return whether *path* is one submission, rather than a folder with those of a class."""
    return not path.is_dir() or any((path / name).is_file() for name in assignment.submission)


def read_submission(path: Path, assignment: Assignment) -> Submission:
    """Return the submission *path*, which may be a file, a folder or an archive.

    What is wrong with it is among its ``problems``.

    Raises:
        InputError: There is no such file or folder, or this user may not read it.
    """
    name = _owner(path)
    try:
        found = _contents(path, assignment)
    except ArchiveError as error:
        return Submission(name, problems=(f"the archive {_shown(path.name)} cannot be used: {error}",))
    except _RefusedError as error:
        return Submission(name, problems=(str(error),))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from error
    return _chosen(name, found, assignment)


class _RefusedError(Exception):
    """A file or folder is no submission."""


def _owner(path: Path) -> str:
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    if not path.is_dir():
        for suffix in (*_SUFFIXES, *_CODE_SUFFIXES, ".yaml", ".yml"):
            name = name.removesuffix(suffix)
    return name


def _contents(path: Path, assignment: Assignment) -> dict[str, bytes]:
    """Return the files of a submission: path in it → content."""
    limits = assignment.limits
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        return _of_folder(path, assignment)
    if not stat.S_ISREG(mode):
        raise _RefusedError(f"found {_shown(path.name)}, which is neither a regular file nor a folder")
    data = _read(path.name, path, None, limits.archive)
    return files_in_archive(data, limits.files, limits.archive) if is_archive(data) else {path.name: data}


def _of_folder(folder: Path, assignment: Assignment) -> dict[str, bytes]:
    limits = assignment.limits
    found: dict[str, bytes] = {}
    total = 0
    for number, (name, path) in enumerate(_walk(folder, "", 0)):
        if number >= limits.files:
            raise _RefusedError("found more files than a submission may have")
        if not _is_wanted(name, assignment):
            found[name] = b""
            continue
        found[name] = _read(name, path, folder, limits.archive)
        total += len(found[name])
        if total > limits.archive:
            raise _RefusedError("found more bytes in its files than a submission may have")
    if len(found) == 1 and len(archives := [name for name in found if name.endswith(_SUFFIXES)]) == 1:
        # Learning platforms put what was uploaded into a folder for each student.
        data = _read(archives[0], folder / archives[0], folder, limits.archive)
        return files_in_archive(data, limits.files, limits.archive)
    return found


def _is_wanted(name: str, assignment: Assignment) -> bool:
    """Return whether a file may be one that the assignment asks for."""
    return name.endswith((*assignment.submission, *_CODE_SUFFIXES, ".yaml", ".yml"))


def _walk(folder: Path, above: str, depth: int) -> Iterator[tuple[str, Path]]:
    """Yield the name and path of each file below a folder; links and devices, too, which reading refuses."""
    if depth > _MOST_DEPTH:
        raise _RefusedError(f"found folders that are nested more than {_MOST_DEPTH} levels deep")
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{above}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _FOLDERS_OF_OTHERS:
                    yield from _walk(Path(entry.path), f"{name}/", depth + 1)
            else:
                yield name, Path(entry.path)


def _read(name: str, path: Path, folder: Path | None, most: int) -> bytes:
    """Return the content of a regular file, without following a link in its last part."""
    try:
        # A FIFO would otherwise keep the call waiting for somebody who writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO) and folder is not None:
            raise _RefusedError(f"found {_shown(name)}, which is a link or no regular file") from None
        raise
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _RefusedError(f"found {_shown(name)}, which is not a regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise _RefusedError(f"found {_shown(name)} with more than {most} bytes")
    return data


def _chosen(owner: str, found: Mapping[str, bytes], assignment: Assignment) -> Submission:
    """Return the submission with the files that the assignment asks for."""
    files: dict[str, bytes] = {}
    problems = []
    used = set[str]()
    for name, handed in assignment.submission.items():
        candidates = _candidates(name, handed, found, assignment)
        if len(candidates) > 1:
            shown = ", ".join(_shown(one) for one in sorted(candidates)[:4])
            problems.append(f"found several files that could be {name} ({shown}); expected one of this name")
            continue
        if not candidates:
            if not handed.optional:
                problems.append(f"found no {name}; expected it in the submission")
            continue
        (path,) = candidates
        used.add(path)
        if len(found[path]) > handed.most:
            problems.append(f"{name}: found {len(found[path])} bytes; expected at most {handed.most}")
            continue
        files[name] = found[path]
    others = tuple(sorted(_shown(name) for name in found if name not in used))
    return Submission(owner, files, tuple(problems), others)


def _candidates(name: str, handed: Handed, found: Mapping[str, bytes], assignment: Assignment) -> list[str]:
    """Return the paths of the files that may be meant by *name*: those of this name, or else the only one of its kind.

    Learning platforms add the name of the student in front, and a number to what is handed in again.
    """
    exact = [path for path in found if path == name] or [path for path in found if path.rpartition("/")[2] == name]
    if exact:
        return exact
    stem, dot, suffix = name.partition(".")
    renamed = re.compile(rf"(?:.*[_ -])?{re.escape(stem)}(?:[.\w]*-\d+)?(?: \(\d+\))?{re.escape(dot + suffix)}")
    similar = [path for path in found if renamed.fullmatch(path.rpartition("/")[2])]
    if similar:
        return similar
    if sum(one.kind == handed.kind for one in assignment.submission.values()) > 1 or handed.optional:
        return []
    if handed.kind == "congestion control":
        return [path for path in found if path.endswith(name[name.index(".") :] if "." in name else ".c")]
    same = [one for one in assignment.submission if one.endswith((".yaml", ".yml"))]
    return [path for path in found if path.endswith((".yaml", ".yml"))] if len(same) == 1 else []


def _shown(name: str) -> str:
    text = name.encode(errors="replace").decode()
    return repr(text if len(text) <= 80 else text[:79] + "…")
