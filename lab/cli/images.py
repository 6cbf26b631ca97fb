# SPDX-License-Identifier: Apache-2.0
"""The commands ``lab image``, which manage the guest images in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lab.cli.common import say
from lab.errors import InputError
from lab.job import kernels


def image_build(
    kernel: Annotated[
        str,
        typer.Option(
            metavar="KERNEL", help="debian-12, debian-13, or the path of a Debian package that contains a kernel."
        ),
    ] = kernels.DEFAULT,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="The Debian mirror from which packages are downloaded.")
    ] = None,
) -> None:
    """Build the guest image, even if it already exists."""
    from lab.engine.image.build import build_image

    package = None
    if kernel not in kernels.DEBIAN:
        from lab.experiment.read.files import package_in
        from lab.experiment.schema.kernel import EXPECTED, SUFFIX

        if not kernel.endswith(SUFFIX):
            raise InputError(f"--kernel: found {kernel!r}; {EXPECTED}")
        found = package_in(Path(kernel))
        kernel, package = found.name, found.path
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        with console.status("building the guest image") as status:
            image = build_image(
                lambda what: status.update(f"guest image: {what}"), kernel=kernel, package=package, mirror=mirror
            )
    else:
        image = build_image(lambda what: say(f"guest image: {what}"), kernel=kernel, package=package, mirror=mirror)
    print(image.digest)


def image_list() -> None:
    """List the images in the cache; for each kernel, a star marks the image that `lab run` uses."""
    from lab.engine.image.build import find_image, list_images

    for image in list_images():
        current = find_image(image.kernel_name)
        mark = "*" if current is not None and image.digest == current.digest else " "
        size = image.bytes_on_disk() / 1e6
        print(f"{mark} {image.digest[:16]}  {image.suite}  {image.kernel}  {size:.0f} MB  built {image.built}")


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
