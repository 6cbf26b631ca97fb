# SPDX-License-Identifier: Apache-2.0
"""The commands ``lab image``, which manage the guest images in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lab.cli.common import Quiet, Verbose, completing, detail_of, say
from lab.errors import ImageError, InputError
from lab.job import kernels

if TYPE_CHECKING:
    from lab.engine.debian.bootstrap import Progress
    from lab.engine.debian.builds import Build
    from lab.engine.image.build import Image


def image_build(
    kernel: Annotated[
        str,
        typer.Option(
            metavar="KERNEL",
            autocompletion=completing(*kernels.DEBIAN, *kernels.UML),
            help=f"{', '.join((*kernels.DEBIAN, *kernels.UML))}, a version such as {kernels.DEFAULT}=6.12.115-1, or "
            "the path of a Debian package that contains a kernel. For uml-…, only the kernel is built: its trials use "
            "the image with the default kernel.",
        ),
    ] = kernels.DEFAULT,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="The Debian mirror from which packages are downloaded.")
    ] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Build the guest image, even if it already exists."""
    from lab.engine.image.build import build_image
    from lab.engine.uml.build import build_kernel
    from lab.run.progress import Detail

    detail = detail_of(verbose, quiet)
    package = None
    from lab.experiment.schema.kernel import EXPECTED, SUFFIX, is_version

    if kernel not in kernels.DEBIAN and kernel not in kernels.UML and not is_version(kernel):
        from lab.experiment.read.files import package_in

        if not kernel.endswith(SUFFIX):
            raise InputError(f"--kernel: found {kernel!r}; {EXPECTED}")
        found = package_in(Path(kernel))
        kernel, package = found.name, found.path

    def build(progress: Progress) -> str:
        if kernel in kernels.UML:
            return build_kernel(kernel, progress, mirror=mirror).digest
        return build_image(progress, kernel=kernel, package=package, mirror=mirror).digest

    what = f"kernel {kernel}" if kernel in kernels.UML else "guest image"
    console = Console(stderr=True, highlight=False)
    if detail is Detail.QUIET:
        digest = build(lambda _doing: None)
    elif console.is_terminal and detail is Detail.NORMAL:
        with console.status(f"building the {what}") as status:
            digest = build(lambda doing: status.update(f"{what}: {doing}"))
    else:
        digest = build(lambda doing: say(f"{what}: {doing}"))
    print(digest)


def image_list() -> None:
    """List the images and User-mode Linux kernels in the cache: * marks those that `lab run` uses, ! damaged ones."""
    from lab.engine.image import build as image_build_
    from lab.engine.uml import build as uml_build

    images, damaged_images = image_build_.list_images()
    uml, damaged_kernels = uml_build.list_kernels()
    for image in images:
        _print_build(image, image_build_.recipe_digest(image.kernel_name), image.suite, image.kernel)
    for kernel in uml:
        recipe = uml_build.recipe_digest(kernel.name) if kernel.name in kernels.UML else ""
        _print_build(kernel, recipe, kernel.name, kernel.release)
    for error in (*damaged_images, *damaged_kernels):
        print(f"! {error.path.name[:16]}  damaged: {error.problem}")


def _print_build(build: Build, recipe: str, origin: str, release: str) -> None:
    """Print a line about a build; it is marked if `lab run` uses it, as the last one of the current *recipe*."""
    from lab.engine.debian.builds import last_digest

    mark = "*" if build.digest == last_digest(recipe) else " "
    size = f"{build.bytes_on_disk() / 1e6:.0f} MB"
    print(f"{mark} {build.digest[:16]}  {origin}  {release}  {size}  built {build.built}")


def image_info(
    digest: Annotated[
        str | None,
        typer.Argument(help="The first characters of the image's digest [default: the current image's digest]."),
    ] = None,
) -> None:
    """Print the properties of an image and the packages in it."""
    image = _image(digest)
    print(f"digest   {image.digest}\npath     {image.path}\nsuite    {image.suite}\nkernel   {image.kernel}")
    print(f"built    {image.built}\nrecipe   {image.recipe}\non disk  {image.bytes_on_disk() / 1e6:.0f} MB")
    print((image.path / "packages").read_text(encoding="utf-8"), end="")


def image_rm(
    digest: Annotated[str, typer.Argument(help="The first characters of the image's digest.")],
) -> None:
    """Remove an image from the cache."""
    from lab.store.folders import remove_folder

    path = _image_path(digest)
    remove_folder(path)
    print(f"removed {path.name}")


def _image(prefix: str | None) -> Image:
    from lab.engine.debian.builds import DamagedBuildError
    from lab.engine.image.build import find_image, open_image

    try:
        found = find_image() if prefix is None else open_image(_image_path(prefix).name)
    except DamagedBuildError as error:
        raise ImageError(f"{error}; `lab image build` builds it again") from error
    if found is None:
        raise InputError("there is no image yet; `lab image build` builds it")
    return found


def _image_path(prefix: str) -> Path:
    """Return the folder of the only image whose digest begins with *prefix*; it may be damaged."""
    from lab.engine.image.build import list_images

    images, damaged = list_images()
    paths = [image.path for image in images] + [error.path for error in damaged]
    found = [path for path in paths if path.name.startswith(prefix)]
    if len(found) != 1:
        known = ", ".join(path.name[:16] for path in paths) or "none"
        raise InputError(f"found {len(found)} images whose digest begins with {prefix!r}; expected one of: {known}")
    return found[0]
