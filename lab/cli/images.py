# SPDX-License-Identifier: Apache-2.0
"""The commands ``lab image``, which manage the guest images in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lab.cli.common import Quiet, Verbose, completing, detail_of, say
from lab.errors import InputError
from lab.job import kernels

if TYPE_CHECKING:
    from lab.engine.debian.bootstrap import Progress
    from lab.engine.debian.builds import Build


def image_build(
    kernel: Annotated[
        str,
        typer.Option(
            metavar="KERNEL",
            autocompletion=completing(*kernels.DEBIAN, *kernels.UML),
            help=f"{', '.join((*kernels.DEBIAN, *kernels.UML))}, or the path of a Debian package that contains a "
            "kernel. For uml-…, only the kernel is built: its trials use the image with the default kernel.",
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
    if kernel not in kernels.DEBIAN and kernel not in kernels.UML:
        from lab.experiment.read.files import package_in
        from lab.experiment.schema.kernel import EXPECTED, SUFFIX

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
    """List the images and User-mode Linux kernels in the cache; a star marks those that `lab run` uses."""
    from lab.engine.image.build import find_image, list_images
    from lab.engine.uml.build import find_kernel, list_kernels

    for image in list_images():
        _print_build(image, find_image(image.kernel_name), image.suite, image.kernel, image.bytes_on_disk())
    for kernel in list_kernels():
        _print_build(kernel, find_kernel(kernel.name), kernel.name, kernel.release, kernel.program.stat().st_size)


def _print_build(build: Build, current: Build | None, origin: str, release: str, size_bytes: int) -> None:
    """Print a line about a build; it is marked if it is the *current* one, which `lab run` uses."""
    mark = "*" if current is not None and build.digest == current.digest else " "
    print(f"{mark} {build.digest[:16]}  {origin}  {release}  {size_bytes / 1e6:.0f} MB  built {build.built}")


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

    image = _image(digest)
    remove_folder(image.path)
    print(f"removed {image.digest}")


def _image(prefix: str | None) -> Any:
    from lab.engine.image.build import find_image, list_images

    if prefix is None:
        current = find_image()
        if current is None:
            raise InputError("there is no image yet; `lab image build` builds it")
        return current
    found = [image for image in list_images() if image.digest.startswith(prefix)]
    if len(found) != 1:
        known = ", ".join(image.digest[:16] for image in list_images()) or "none"
        raise InputError(f"found {len(found)} images whose digest begins with {prefix!r}; expected one of: {known}")
    return found[0]
