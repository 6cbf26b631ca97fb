# SPDX-License-Identifier: Apache-2.0
"""The parts of bundles: from which recipes they are made, which ones are used by default, and what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.engine.bundles import Bundle, folder_of, list_bundles
from lab.engine.debian.builds import Build, DamagedBuildError, check_build, last_digest, open_build, set_last_digest
from lab.engine.emulator.build import Emulator
from lab.engine.emulator.build import recipe_digest as emulator_recipe
from lab.engine.image.build import Image
from lab.engine.image.build import recipe_digest as image_recipe
from lab.engine.uml.build import UmlKernel
from lab.engine.uml.build import recipe_digest as kernel_recipe
from lab.job import kernels

KINDS: dict[str, type[Build]] = {"emulator": Emulator, "image": Image, "uml_kernel": UmlKernel}
"""Kind of part → the class of its builds."""


def recipes_of(kernel: str) -> dict[str, str]:
    """Return kind of part → digest of the recipe, for the parts of a bundle with *kernel*."""
    if kernel in kernels.UML:
        return {"uml_kernel": kernel_recipe(kernel), "image": image_recipe()}
    return {"emulator": emulator_recipe(), "image": image_recipe(kernel)}


def default_bundle(kernel: str) -> Bundle | None:
    """Return the bundle that trials with *kernel* use if nothing else is asked for; None if a part is not there."""
    parts = {kind: last_digest(recipe) for kind, recipe in recipes_of(kernel).items()}
    bundle = Bundle(kernel, {kind: digest for kind, digest in parts.items() if digest is not None})
    return bundle if len(bundle.parts) == len(parts) and not bundle.missing() else None


def known_bundles() -> list[Bundle]:
    """Return all bundles in the cache, with those that no trial has used yet; recently used ones come last."""
    used = list_bundles()
    defaults = [default_bundle(kernel) for kernel in (*kernels.DEBIAN, *kernels.UML)]
    new = [bundle for bundle in defaults if bundle is not None and bundle.digest not in {one.digest for one in used}]
    return new + used


def default_parts() -> set[str]:
    """Return the digests of the parts of all bundles that are used by default."""
    recipes = {recipe for kernel in (*kernels.DEBIAN, *kernels.UML) for recipe in recipes_of(kernel).values()}
    return {digest for recipe in recipes if (digest := last_digest(recipe)) is not None}


def make_default(bundle: Bundle) -> None:
    """Let trials with the bundle's kernel use the bundle from now on.

    The image and the emulator may be parts of other bundles, too; trials with their kernels then also use them.

    Raises:
        StoreError: The cache cannot be written.
    """
    for kind, recipe in recipes_of(bundle.kernel).items():
        set_last_digest(recipe, bundle.parts[kind])


def adopt(bundle: Bundle) -> None:
    """Let trials use the parts of the bundle that they have no other ones for.

    Raises:
        StoreError: The cache cannot be written.
    """
    for kind, recipe in recipes_of(bundle.kernel).items():
        digest = last_digest(recipe)
        if digest is None or not (folder_of(kind) / digest).is_dir():
            set_last_digest(recipe, bundle.parts[kind])


def chosen_recipes(bundle: Bundle) -> dict[str, str]:
    """Return recipe → digest of the part that is used in place of what was last built from the recipe."""
    return {recipe: bundle.parts[kind] for kind, recipe in recipes_of(bundle.kernel).items()}


def _opened(bundle: Bundle) -> Iterator[tuple[str, Build]]:
    """Yield the kind and the build of each part.

    Raises:
        DamagedBuildError: A part is missing, or its description is damaged.
    """
    for kind, path in bundle.paths().items():
        build = open_build(KINDS[kind], path.parent, path.name)
        if build is None:
            raise DamagedBuildError(path, "it is missing")
        yield kind, build


def check_parts(bundle: Bundle) -> None:
    """Check that all parts are in the cache as they were built.

    Raises:
        DamagedBuildError: A part is missing, or it is not what was built.
    """
    for _kind, build in _opened(bundle):
        check_build(build)


@dataclass(frozen=True)
class Part:
    """What is known of a part in the cache."""

    kind: str
    digest: str
    path: Path
    what: str
    """The version of QEMU, or the release of the kernel."""
    built: str
    bytes_on_disk: int
    packages: tuple[tuple[str, ...], ...]
    """(name, version, SHA-256 of the package's file) of the packages that the part was made from."""


def parts_of(bundle: Bundle) -> list[Part]:
    """Return what is known of the parts of a bundle.

    Raises:
        DamagedBuildError: A part is missing, or its description is damaged.
    """
    found = []
    for kind, build in _opened(bundle):
        try:
            packages = (build.path / "packages").read_text(encoding="ascii", errors="replace").splitlines()
        except OSError as error:
            raise DamagedBuildError(build.path, f"packages cannot be read: {error.strerror}") from error
        found.append(
            Part(
                kind=kind,
                digest=build.digest,
                path=build.path,
                what=_what(build),
                built=build.built,
                bytes_on_disk=build.bytes_on_disk(),
                packages=tuple(tuple(line.split()) for line in packages if line.isprintable()),
            )
        )
    return found


def _what(build: Build) -> str:
    if isinstance(build, Emulator):
        return f"QEMU {build.version}"
    if isinstance(build, UmlKernel):
        return f"User-mode Linux {build.release}"
    return f"Linux {build.kernel}" if isinstance(build, Image) else ""
