# SPDX-License-Identifier: Apache-2.0
"""The replay engine: no trial runs, records that were captured before are played back.

With it everything behind an engine can be tried without QEMU, root and time.  A capture is one archive for each trial,
``.tar.xz``: its first member, ``capture.json``, holds the job and says what recorded it; the others are the record.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from lab.engine.archives import PlainTarInfo
from lab.engine.base import Step, VirtualTime, in_thread
from lab.engine.bundles import Bundle
from lab.errors import EngineError, GuestError, LostVMError, TrialError, TrialTimeoutError
from lab.job.protocol import Job
from lab.store.digest import digest_of

CAPTURE_FORMAT = 1
"""Version of ``capture.json``; another one is refused, never guessed at."""
SUFFIX = ".tar.xz"
_ABOUT = "capture.json"
_LOG = "failure.log"
_RECORD = "record/"
_FAILURES: dict[str, type[TrialError]] = {
    kind.__name__: kind for kind in (TrialError, GuestError, LostVMError, TrialTimeoutError)
}


class Failure(TypedDict):
    """The error that an engine raised instead of leaving a whole record."""

    kind: str
    """Its class: one of :class:`~lab.errors.TrialError` and what is derived from it."""
    reason: str


class About(TypedDict):
    """What ``capture.json`` says."""

    format: int
    job: Job
    identity: dict[str, str]
    """Of the engine that ran the job, as it gave it for this job."""
    failure: Failure | None


@dataclass(frozen=True)
class Capture:
    """One captured trial."""

    path: Path
    about: About
    archive_digest: str
    """SHA-256 of the archive, in hexadecimal."""


class ReplayEngine:
    """See :class:`lab.engine.base.Engine`.  Exact, whatever recorded the records: each comes out as it was captured."""

    name = "replay"
    is_exact = True
    most_at_a_time: int | None = None

    def __init__(self, folder: Path) -> None:
        """``folder`` and those below it hold the captures."""
        self._folder = folder
        self._captures: dict[str, Capture] | None = None

    def locate(self, step: Step) -> None:
        """Read what is captured.

        Raises:
            EngineError: There is no capture, one is damaged, or two are of the same job.
        """
        found: dict[str, Capture] = {}
        for path in sorted(self._folder.rglob(f"*{SUFFIX}")):
            capture = read_capture(path)
            digest = digest_of(capture.about["job"])
            if digest in found:
                raise EngineError(f"{path} and {found[digest].path} are captures of the same job")
            found[digest] = capture
        if not found:
            raise EngineError(f"there are no captured records ({SUFFIX}) in {self._folder}")
        self._captures = found

    def recipes(self) -> dict[str, str]:
        return {}

    def identity(self, job: Job) -> dict[str, str]:
        """Say which archive is played back, and what recorded it; of a job without a record that there is none."""
        capture = self._located.get(digest_of(job))
        if capture is None:
            return {"engine": self.name, "capture_digest": "none"}
        return {"engine": self.name, "capture_digest": capture.archive_digest, **_recorded(capture.about)}

    def about(self) -> dict[str, str]:
        captures = self._located
        lines = (f"{digest} {capture.archive_digest}\n" for digest, capture in sorted(captures.items()))
        identities = [_recorded(capture.about) for capture in captures.values()]
        names = dict.fromkeys(name for identity in identities for name in identity)
        recorded = {
            name: ", ".join(dict.fromkeys(identity[name] for identity in identities if name in identity))
            for name in names
        }
        return {
            "engine": self.name,
            "captures_digest": hashlib.sha256("".join(lines).encode()).hexdigest(),
            **recorded,
        }

    def bundles(self) -> dict[str, Bundle]:
        return {}

    async def prepare(self, step: Step) -> None:
        """There is nothing to prepare."""

    async def run(self, job: Job, directory: Path, worker: int, on_time: VirtualTime) -> None:
        capture = self._located.get(digest_of(job))
        if capture is None:
            raise TrialError(
                f"no record was captured of this job, {digest_of(job)[:16]}…, in {self._folder}: "
                "the experiment, or how jobs are made of it, is not what it was"
            )
        failure = capture.about["failure"]
        log = directory.with_name(f"{directory.name}.log") if failure else None
        await in_thread(partial(_unpack, capture.path, directory, log))
        if failure is not None:
            kept = log if log is not None and log.is_file() else None
            raise _FAILURES[failure["kind"]](failure["reason"], log=kept)
        on_time(job["duration_ns"])

    def close(self) -> None:
        """There is nothing to give back."""

    @property
    def _located(self) -> dict[str, Capture]:
        if self._captures is None:
            raise EngineError("the engine has not been located")
        return self._captures


def write_capture(
    path: Path, job: Job, record: Path, identity: Mapping[str, str], error: TrialError | None = None
) -> None:
    """Write what an engine left in the folder *record*, and the *error* that it raised, to the archive *path*.

    The same content gives the same bytes.

    Raises:
        OSError: Something cannot be read or written.
    """
    failure = None if error is None else Failure(kind=type(error).__name__, reason=error.reason)
    about = About(format=CAPTURE_FORMAT, job=job, identity=dict(identity), failure=failure)
    contents = {_ABOUT: (json.dumps(about, indent=1, sort_keys=True) + "\n").encode()}
    if error is not None and error.log is not None and error.log.is_file():
        contents[_LOG] = error.log.read_bytes()
    for file in sorted(found for found in record.rglob("*") if found.is_file()):
        contents[_RECORD + file.relative_to(record).as_posix()] = file.read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def read_capture(path: Path) -> Capture:
    """Return what the archive *path* says about itself.

    Raises:
        EngineError: It cannot be read, or is no capture of this version.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name, content = next(_members(path))
        about: Any = json.loads(content) if name == _ABOUT else None
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError, StopIteration, ValueError) as error:
        raise EngineError(f"{path} is damaged: {error or type(error).__name__}") from error
    if not isinstance(about, dict) or about.get("format") != CAPTURE_FORMAT:
        raise EngineError(f"{path} is not a capture of format {CAPTURE_FORMAT}")
    failure = about.get("failure")
    if not about.keys() >= About.__annotations__.keys() or (failure and failure.get("kind") not in _FAILURES):
        raise EngineError(f"{path} is damaged: {_ABOUT} lacks something")
    return Capture(path, About(**about), digest)  # type: ignore[typeddict-item]


def _recorded(about: About) -> dict[str, str]:
    """What recorded a record, under names that are not those of what plays it back."""
    return {f"recorded_{name}": value for name, value in about["identity"].items()}


def _unpack(path: Path, directory: Path, log: Path | None) -> None:
    """Leave the record in *directory*, and the log of a failure in *log*.

    Raises:
        TrialError: The archive is damaged, or names a place outside of the record.
        OSError: The disk cannot take it.
    """
    try:
        for name, content in _members(path):
            if name == _ABOUT:
                continue
            if name == _LOG:
                if log is not None:
                    log.write_bytes(content)
                continue
            inside = Path(name.removeprefix(_RECORD))
            if not name.startswith(_RECORD) or inside.is_absolute() or ".." in inside.parts:
                raise TrialError(f"{path} is damaged: {name} does not belong in a record")
            target = directory / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise TrialError(f"{path} is damaged: {error}") from error


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file in the archive, one after the other."""
    with tarfile.open(path, mode="r:xz", tarinfo=PlainTarInfo) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is None:
                raise tarfile.TarError(f"{member.name} is no file")
            yield member.name, file.read()
