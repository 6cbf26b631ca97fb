# SPDX-License-Identifier: Apache-2.0
"""The commands ``lab bundle``, which manage the bundles in the cache."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lab.cli.common import Quiet, Verbose, completing, detail_of, say
from lab.errors import ImageError, InputError
from lab.job import kernels

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from lab.engine.base import Step
    from lab.engine.bundles import Bundle
    from lab.run.progress import Detail

    _T = TypeVar("_T")

_Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="The first characters of the bundle's digest.")]


def bundle_build(
    kernel: Annotated[
        str,
        typer.Option(
            metavar="KERNEL",
            autocompletion=completing(*kernels.DEBIAN, *kernels.UML),
            help=f"{', '.join((*kernels.DEBIAN, *kernels.UML))}, a version such as {kernels.DEFAULT}=6.12.115-1, or "
            "the path of a Debian package that contains a kernel. For uml-…, the kernel of User-mode Linux is "
            "compiled, and used with the guest image of the default kernel.",
        ),
    ] = kernels.DEFAULT,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="The Debian mirror from which packages are downloaded.")
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Take the packages of this time, such as 20261101T000000Z, from an archive of snapshots: in --mirror, "
            "@SNAPSHOTID@ stands for the time.",
        ),
    ] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Build a bundle from Debian's packages of today, even if there is one, and use it from now on; print its digest.

    A run builds the bundle that it needs, so this is necessary only to get newer packages.
    """
    from lab.bundle.build import build_bundle, snapshot_mirror
    from lab.experiment.schema.kernel import EXPECTED, SUFFIX, is_version

    detail = detail_of(verbose, quiet)
    package = None
    if kernel not in kernels.DEBIAN and kernel not in kernels.UML and not is_version(kernel):
        from lab.experiment.read.files import package_in

        if not kernel.endswith(SUFFIX):
            raise InputError(f"--kernel: found {kernel!r}; {EXPECTED}")
        found = package_in(Path(kernel))
        kernel, package = found.name, found.path
    archive = mirror if snapshot is None else snapshot_mirror(snapshot, mirror)
    bundle = _with_steps(detail, lambda step: build_bundle(step, kernel, package=package, mirror=archive))
    print(bundle.digest)


def _with_steps(detail: Detail, work: Callable[[Step], _T]) -> _T:
    """Return what *work* returns; its steps are shown as *detail* asks."""
    from lab.engine.base import Notice
    from lab.run.progress import Detail

    console = Console(stderr=True, highlight=False)
    if detail is Detail.QUIET:
        return work(lambda _doing: None)
    if not console.is_terminal or detail is not Detail.NORMAL:
        return work(lambda doing: say(f"bundle: {doing}"))
    with console.status("bundle") as status:
        return work(lambda doing: say(doing) if isinstance(doing, Notice) else status.update(f"bundle: {doing}"))


def bundle_list() -> None:
    """List the bundles in the cache, and when they were built: * marks those that `lab run` uses by default."""
    from lab.bundle.parts import default_bundle, known_bundles, parts_of
    from lab.engine.debian.builds import DamagedBuildError

    for bundle in sorted(known_bundles(), key=lambda one: (one.kernel, one.digest)):
        found = default_bundle(bundle.kernel)
        mark = "*" if found is not None and found.digest == bundle.digest else " "
        try:
            parts = parts_of(bundle)
        except DamagedBuildError as error:
            print(f"! {bundle.digest[:16]}  {bundle.kernel}  damaged: {error}")
            continue
        size = sum(part.bytes_on_disk for part in parts) / 1e6
        what = ", ".join(part.what for part in parts)
        print(f"{mark} {bundle.digest[:16]}  {bundle.kernel}  {what}  {size:.0f} MB  built {_age(parts[-1].built)}")


def _age(built: str) -> str:
    """Return a date with the number of days that have passed since then."""
    days = (datetime.now(UTC) - datetime.fromisoformat(built)).days
    return f"{built[:10]} ({days} day{'' if days == 1 else 's'} ago)"


def bundle_info(
    digest: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIGEST]",
            help=f"The first characters of the bundle's digest [default: the bundle with {kernels.DEFAULT}].",
        ),
    ] = None,
) -> None:
    """Print what a bundle consists of, with the name, the version and the SHA-256 of each package in it."""
    from lab.bundle.parts import parts_of

    bundle = _bundle(digest)
    print(f"digest  {bundle.digest}\nkernel  {bundle.kernel}")
    for part in parts_of(bundle):
        print(f"\n{part.kind}  {part.digest}\npath    {part.path}\nwhat    {part.what}\nbuilt   {part.built}")
        print(f"on disk {part.bytes_on_disk / 1e6:.0f} MB\npackages:")
        for package in part.packages:
            print(f"  {' '.join(package)}")


def bundle_use(digest: _Digest) -> None:
    """Use a bundle that is in the cache from now on, for all experiments with its kernel."""
    from lab.bundle.choose import bundle_named
    from lab.bundle.parts import check_parts, make_default

    bundle = bundle_named(digest)
    check_parts(bundle)
    make_default(bundle)
    print(f"experiments with kernel: {bundle.kernel} use the bundle {bundle.digest} now")


def bundle_rm(digest: _Digest) -> None:
    """Remove a bundle from the cache; parts that it shares with other bundles stay."""
    from lab.bundle.choose import bundle_named
    from lab.engine.bundles import remove_bundle

    bundle = bundle_named(digest)
    parts = remove_bundle(bundle)
    print(f"removed the bundle {bundle.digest}")
    for path in parts:
        print(f"removed {path}")


def bundle_export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; its name must end with .tar.zst.")],
    digest: Annotated[
        list[str] | None,
        typer.Option("--bundle", metavar="DIGEST", help="This bundle; may be repeated."),
    ] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            "--kernel",
            metavar="KERNEL",
            autocompletion=completing(*kernels.DEBIAN, *kernels.UML),
            help=f"The bundle that experiments with this kernel use; may be repeated [default: {kernels.DEFAULT}].",
        ),
    ] = None,
) -> None:
    """Write bundles to a file, with which other machines can run trials without Debian packages and without root."""
    from lab.bundle.transfer import export_bundles

    bundles = [_bundle(one) for one in digest or ()]
    bundles += [_default(one) for one in kernel or ([] if digest else [kernels.DEFAULT])]
    export_bundles(list({bundle.digest: bundle for bundle in bundles}.values()), file)
    for bundle in bundles:
        print(f"{bundle.digest}  {bundle.kernel}")
    say(f"{file}: {file.stat().st_size / 1e6:.0f} MB")


def bundle_import(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="The file that `lab bundle export` wrote.")],
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="DIGEST", help="Accept the file only if it has a bundle with this digest."),
    ] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Take the bundles in a file into the cache, after checking all digests; print the digests of the bundles.

    A bundle contains QEMU, a program that runs with your rights: import bundles only of people whom you trust.
    """
    from lab.bundle.build import drop_old_bundles
    from lab.bundle.transfer import import_bundles

    def work(step: Step) -> tuple[list[Bundle], list[Bundle]]:
        found = import_bundles(source, step, expected=digest)
        drop_old_bundles(step, *found[0])
        return found

    bundles, used = _with_steps(detail_of(verbose, quiet), work)
    for bundle in bundles:
        print(f"{bundle.digest}  {bundle.kernel}")
        if bundle not in used and not quiet:
            say(
                f"experiments with kernel: {bundle.kernel} go on with the bundle that they have; "
                f"`lab bundle use {bundle.digest[:16]}` changes that"
            )


def _bundle(prefix: str | None) -> Bundle:
    from lab.bundle.choose import bundle_named

    return _default(kernels.DEFAULT) if prefix is None else bundle_named(prefix)


def _default(kernel: str) -> Bundle:
    from lab.bundle.parts import default_bundle

    if kernel not in kernels.DEBIAN and kernel not in kernels.UML and "=" not in kernel:
        raise InputError(f"--kernel: found {kernel!r}; expected one of {', '.join((*kernels.DEBIAN, *kernels.UML))}")
    found = default_bundle(kernel)
    if found is None:
        raise ImageError(f"there is no bundle with {kernel} yet; `lab bundle build --kernel {kernel}` builds it")
    return found
