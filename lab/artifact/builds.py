# SPDX-License-Identifier: Apache-2.0
"""Use the guest images, the kernels of User-mode Linux and the emulators of an unpacked artifact.

They are put into a cache of their own, so that nothing of an artifact gets into the user's.  Guest images only ever run
inside of virtual machines and of User-mode Linux.  A kernel of User-mode Linux and QEMU, however, are programs that run
on this machine with the rights of the user; so they are used only if the user's cache has the same ones, to the byte,
or if the user says that they may be.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TypeVar

from lab.artifact.document import ArtifactDocument
from lab.artifact.pack import EMULATORS, IMAGES, UML_KERNELS
from lab.engine.debian.builds import Build, DamagedBuildError, has_intact, open_whole, set_last_digest, set_modes
from lab.engine.emulator.build import Emulator
from lab.engine.emulator.build import recipe_digest as emulator_recipe
from lab.engine.image.build import Image
from lab.engine.image.build import recipe_digest as image_recipe
from lab.engine.uml.build import UmlKernel
from lab.engine.uml.build import recipe_digest as kernel_recipe
from lab.errors import InputError
from lab.job import kernels
from lab.store import integrity, places

_B = TypeVar("_B", bound=Build)
_NOT_TRUSTED = (
    "of the artifact is a program that would run on this machine with your rights; it is not used without "
    "--trust-programs"
)


def use_builds(top: Path, document: ArtifactDocument, cache: Path, *, trust: bool) -> list[str]:
    """Let this process use the builds in the artifact *top*, in the new cache *cache*; return what to tell the user.

    Without builds in the artifact, the user's own cache stays in use.

    Raises:
        InputError: A build is not what its digest says.
    """
    if not document["images"]:
        return []
    own_cache = places.cache_root()
    os.environ["LAB_CACHE"] = str(cache)
    for digest in document["images"]:
        image = _installed(Image, top / IMAGES / digest, places.images() / digest)
        set_last_digest(image_recipe(image.kernel_name), digest)
    told = []
    for digest in document["uml_kernels"]:
        kernel = _installed_program(UmlKernel, top / UML_KERNELS / digest, places.uml_kernels(), own_cache, trust=trust)
        if kernel is None:
            told.append(
                f"the kernel of User-mode Linux {digest[:16]} {_NOT_TRUSTED}, and lab compiles its own, which takes "
                "some 8 minutes of processor time"
            )
        elif kernel.name in kernels.UML:
            set_last_digest(kernel_recipe(kernel.name), digest)
    for digest in document["emulators"]:
        emulator = _installed_program(Emulator, top / EMULATORS / digest, places.emulators(), own_cache, trust=trust)
        if emulator is None:
            told.append(f"the emulator {digest[:16]} {_NOT_TRUSTED}, and lab takes QEMU from Debian's packages")
        else:
            set_last_digest(emulator_recipe(), digest)
    return told


def _installed_program(kind: type[_B], packed: Path, place: Path, own_cache: Path, *, trust: bool) -> _B | None:
    """Copy a build that consists of programs to the folder *place*, or return None if it is not to be trusted."""
    own = own_cache / place.name
    source = own / packed.name if has_intact(kind, own, packed.name) else packed if trust else None
    return None if source is None else _installed(kind, source, place / packed.name)


def _installed(kind: type[_B], source: Path, target: Path) -> _B:
    """Copy a build to *target* and return it.

    Raises:
        InputError: It is not what its digest says.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target)
    try:
        found = open_whole(kind, target.parent, target.name)
    except DamagedBuildError as error:
        raise InputError(f"the artifact is damaged: {source.parent.name}/{source.name}: {error.problem}") from error
    set_modes(found)
    integrity.write_list(target)
    return found
