# SPDX-License-Identifier: Apache-2.0
"""Build bundles from Debian's packages, and remove old ones."""

from __future__ import annotations

import re
from pathlib import Path

from lab.bundle.parts import default_parts
from lab.engine.base import Notice, Step
from lab.engine.bundles import Bundle, note_use, prune
from lab.engine.debian.bootstrap import SUITE_PLACE
from lab.engine.emulator.build import build_emulator
from lab.engine.image.build import build_image, locate_image
from lab.engine.uml.build import build_kernel
from lab.errors import InputError
from lab.job import kernels

SNAPSHOT_ID = "@SNAPSHOTID@"
"""What stands for the snapshot in the address of an archive (sources.list(5) of APT 3, ``Acquire::Snapshots``)."""

_SNAPSHOT = re.compile(r"[0-9]{8}T[0-9]{6}Z")


def build_bundle(
    step: Step, kernel: str = kernels.DEFAULT, *, package: Path | None = None, mirror: str | None = None
) -> Bundle:
    """Build a bundle with *kernel* from the packages that Debian's archive offers now, and make it the default.

    For User-mode Linux, the kernel is compiled, and the image with the default kernel is used if there is one.

    Args:
        step: Called with a description of each step.
        kernel: The name of the kernel, in the form of :mod:`lab.job.kernels`.
        package: The file of the user's own kernel package; None for Debian's kernels.
        mirror: The Debian mirror to use; None for mmdebstrap's default.

    Raises:
        ImageError: A tool is missing or fails.  The message names the builder's log.
        InputError: The user's package cannot be used.
    """
    if kernel in kernels.UML:
        program = build_kernel(kernel, step, mirror=mirror)
        image = locate_image(step, mirror=mirror)
        parts = {"uml_kernel": program.digest, "image": image.digest}
    else:
        emulator = build_emulator(step, mirror=mirror)
        image = build_image(step, kernel=kernel, package=package, mirror=mirror)
        parts = {"emulator": emulator.digest, "image": image.digest}
    bundle = Bundle(kernel, parts)
    note_use(bundle)
    drop_old_bundles(step, bundle)
    return bundle


def drop_old_bundles(step: Step, *newest: Bundle) -> None:
    """Remove bundles that nothing uses by default, if all together need more disk space than they may."""
    keep = {digest for bundle in newest for digest in bundle.parts.values()}
    for path in prune(keep | default_parts()):
        step(Notice(f"removed {path.parent.name}/{path.name[:16]}, which was not used for the longest time"))


def snapshot_mirror(snapshot: str, mirror: str | None) -> str:
    """Return the source of packages (sources.list(5)) for the time *snapshot*, such as ``20261101T000000Z``.

    *mirror* is the address of the archive of snapshots, in which :data:`SNAPSHOT_ID` stands for the time, or a line of
    sources.list with such an address.

    Raises:
        InputError: One of the two cannot be used.
    """
    if not _SNAPSHOT.fullmatch(snapshot):
        raise InputError(f"--snapshot: found {snapshot!r}; expected a time in the form 20261101T000000Z")
    if mirror is None or SNAPSHOT_ID not in mirror:
        raise InputError(
            f"--snapshot: found the mirror {mirror!r}; expected the address of an archive of snapshots in which "
            f"{SNAPSHOT_ID} stands for the time, as APT's configuration has it: "
            f"--mirror 'https://ARCHIVE/debian/{SNAPSHOT_ID}/'"
        )
    address = mirror.replace(SNAPSHOT_ID, snapshot)
    # What the archive says is valid only for a week.
    option = "check-valid-until=no"
    if address.startswith("deb ["):
        return address.replace("deb [", f"deb [{option} ", 1)
    return f"deb [{option}] {address} {SUITE_PLACE} main"
