# SPDX-License-Identifier: Apache-2.0
"""Bundles: everything besides the agent, the BPF programs and the job on which the record of a trial depends.

The bundle of a virtual machine consists of an emulator and a guest image, and that of User-mode Linux consists of a
kernel, which is a program, and a guest image.  Bundles share their parts, which lie in the cache as builds
(:mod:`lab.engine.debian.builds`).  The digest of a bundle follows from the digests of its parts.  For each bundle that
was used on this machine, a file in the folder ``bundles`` of the cache names the parts::

    {"kernel": "debian-13", "parts": {"emulator": "…", "image": "…"}}
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.store import places
from lab.store.files import to_json, write_file, writing
from lab.store.folders import bytes_on_disk, finished_folders, remove_folder

MOST_BYTES = 6 << 30
"""The disk space that the parts of all bundles may occupy; bundles that were used longest ago are removed first."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
PARTS = ("emulator", "image", "uml_kernel")
"""The kinds of parts."""
_KERNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:=_-]{0,199}")
_KINDS = ({"emulator", "image"}, {"uml_kernel", "image"})


def folder_of(kind: str) -> Path:
    """Return the folder of the cache with all parts of this kind: ``emulator``, ``image`` or ``uml_kernel``."""
    return {"emulator": places.emulators, "image": places.images, "uml_kernel": places.uml_kernels}[kind]()


def digest_of(parts: Mapping[str, str]) -> str:
    """Return the digest of the bundle with these parts (kind → digest)."""
    return hashlib.sha256("".join(f"{kind} {digest}\n" for kind, digest in sorted(parts.items())).encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A bundle, whose parts may be in the cache."""

    kernel: str
    """The kernel's name in the form of :mod:`lab.job.kernels`."""
    parts: Mapping[str, str]
    """Kind of part → digest."""

    @property
    def digest(self) -> str:
        """The digest of the bundle."""
        return digest_of(self.parts)

    def document(self) -> dict[str, object]:
        """Return the description that :func:`read_bundle` reads."""
        return {"kernel": self.kernel, "parts": dict(self.parts)}

    def part_digests(self) -> dict[str, str]:
        """Return the digests of the parts, by the names that they have in the provenance of a run."""
        return {f"{kind}_digest": digest for kind, digest in self.parts.items()}

    def paths(self) -> dict[str, Path]:
        """Return the folders of the parts, which need not exist, by their kinds."""
        return {kind: folder_of(kind) / digest for kind, digest in self.parts.items()}

    def missing(self) -> list[str]:
        """Return the kinds of the parts that are not in the cache."""
        return [kind for kind, path in self.paths().items() if not path.is_dir()]

    @property
    def record(self) -> Path:
        """The path of the file that names the parts."""
        return places.bundles() / f"{self.digest}.json"


def read_bundle(document: object) -> Bundle:
    """Return the bundle that *document*, the content of a JSON file, describes.

    Raises:
        ValueError: It describes none.
    """
    if not isinstance(document, dict):
        raise ValueError(f"found {document!r:.60}; expected an object")
    kernel, parts = document.get("kernel"), document.get("parts")
    if not isinstance(kernel, str) or not _KERNEL.fullmatch(kernel):
        raise ValueError(f"found the kernel {kernel!r:.60}; expected a kernel's name")
    if not isinstance(parts, dict) or set(parts) not in _KINDS:
        raise ValueError(f"found the parts {parts!r:.80}; expected an image, and an emulator or a uml_kernel")
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in parts.values()):
        raise ValueError("the parts must be named by the 64 hexadecimal digits of their digests")
    return Bundle(kernel, parts)


def note_use(bundle: Bundle) -> None:
    """Write down that this machine uses the bundle now.

    Raises:
        StoreError: The cache cannot be written.
    """
    with contextlib.suppress(OSError):
        os.utime(bundle.record)
        return
    with writing(bundle.record):
        places.bundles().mkdir(parents=True, exist_ok=True)
    write_file(bundle.record, to_json(bundle.document()))


def list_bundles() -> list[Bundle]:
    """Return all bundles whose parts are in the cache; the one that was used longest ago comes first."""
    found = [(record.stat().st_mtime, bundle) for record, bundle in _records()]
    return [bundle for _time, bundle in sorted(found, key=lambda one: one[0]) if not bundle.missing()]


def _records() -> Iterator[tuple[Path, Bundle]]:
    for record in sorted(places.bundles().glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            bundle = read_bundle(json.loads(record.read_bytes()))
            if bundle.record == record:
                yield record, bundle


def remove_bundle(bundle: Bundle) -> list[Path]:
    """Remove a bundle, and return the folders of its parts that no other bundle has, which are removed, too."""
    bundle.record.unlink(missing_ok=True)
    kept = {path for _record, other in _records() for path in other.paths().values()}
    removed = [path for path in bundle.paths().values() if path.is_dir() and path not in kept]
    for path in removed:
        remove_folder(path)
    return removed


def prune(keep: Set[str], most_bytes: int = MOST_BYTES) -> list[Path]:
    """Remove the bundles that were used longest ago until all parts fit into *most_bytes*.

    Parts that belong to no bundle, such as those of earlier versions of lab, go first, unless they are younger than a
    day: another process may just be building a bundle.  Parts whose digests are in *keep* stay.

    Return the folders of the removed parts.
    """
    bundles = [bundle for bundle in list_bundles() if not keep & set(bundle.parts.values())]
    owned = {path for _record, bundle in _records() for path in bundle.paths().values()}
    sizes = {path: bytes_on_disk(path) for kind in PARTS for path in finished_folders(folder_of(kind))}
    too_many = sum(sizes.values()) - most_bytes
    yesterday = time.time() - 86400
    orphans = [path for path in sizes if path not in owned and path.stat().st_mtime < yesterday]
    steps = [partial(_remove_part, path) for path in orphans if path.name not in keep]
    removed: list[Path] = []
    for step in (*steps, *(partial(remove_bundle, bundle) for bundle in bundles)):
        if sum(sizes[path] for path in removed) >= too_many:
            break
        removed += step()
    return removed


def _remove_part(path: Path) -> list[Path]:
    remove_folder(path)
    return [path]
