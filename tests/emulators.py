# SPDX-License-Identifier: Apache-2.0
"""Emulators made of small scripts, for tests that need no virtual machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.engine.debian.builds import content_digest, publish_build
from lab.engine.emulator import build
from lab.engine.emulator.build import Emulator
from lab.store import places
from lab.store.folders import remove_folder, unfinished_folder
from tests.conftest import write_program

PACKS = 'for root; do out=$before; before=$root; done; exec tar -C "$root" --sort=name --mtime=@0 -cf "$out" .'
"""What stands for ``mkfs.erofs`` by default: it writes an archive with the files."""


def write_files(folder: Path, *, qemu: str, mkfs: str = PACKS, version: str = "10.0") -> None:
    """Write the files of an emulator whose programs are shell scripts with these lines."""
    for name, lines in {
        build.LOADER: 'shift 2\n[ "$1" != --preload ] || shift 2\nexec "$@"',
        build.QEMU: qemu,
        build.MKFS: mkfs,
    }.items():
        write_program(folder / name, lines)
    for name in (build.LOCKSTEP, "packages"):
        (folder / name).write_text(f"{name} {version}\n")


def write_emulator(*, qemu: str = "exit 0", mkfs: str = PACKS, version: str = "10.0") -> Emulator:
    """Make an emulator whose programs are shell scripts with these lines the one that the current cache uses."""
    with unfinished_folder(places.emulators()) as partial:
        write_files(partial, qemu=qemu, mkfs=mkfs, version=version)
        digest = content_digest(partial, sorted(path.name for path in partial.iterdir() if path.name != "packages"))
        emulator = Emulator(
            digest=digest,
            path=places.emulators() / digest,
            version=version,
            built="2026-01-01T00:00:00+00:00",
            recipe=build.recipe_digest(),
        )
        publish_build(partial, emulator)
    return emulator


def write_emulator_in(cache: Path, *, qemu: str = "exit 0", mkfs: str = PACKS) -> Emulator:
    """Do the same in another cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_CACHE", str(cache))
        return write_emulator(qemu=qemu, mkfs=mkfs)


def use_emulators_of(cache: Path) -> None:
    """Let the current cache have the emulators of another cache, instead of building its own."""
    recipe = build.recipe_digest()
    remove_folder(places.emulators())
    places.cache_root().mkdir(parents=True, exist_ok=True)
    places.emulators().symlink_to(cache / "emulators")
    places.recipes().mkdir(parents=True, exist_ok=True)
    shutil.copyfile(cache / "recipes" / recipe, places.recipes() / recipe)
