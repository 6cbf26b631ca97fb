# SPDX-License-Identifier: Apache-2.0
"""The command `lab artifact`."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.common import say
from lab.errors import InputError


def artifact(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs, or `latest` links.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The archive to write, such as artifact.tar.zst.")
    ],
    title: Annotated[str, typer.Option(metavar="TEXT", help="The title [default: the names of the experiments].")] = "",
    author: Annotated[
        list[str] | None,
        typer.Option(
            "--author", metavar="NAME", help="An author for CITATION.cff; may be repeated [default: Anonymous]."
        ),
    ] = None,
    license_: Annotated[
        Path | None,
        typer.Option(
            "--license", metavar="FILE", help="The licence of the artifact [default: that of lab, Apache-2.0]."
        ),
    ] = None,
    with_image: Annotated[
        bool,
        typer.Option(
            "--with-image",
            help="Also pack the guest images, the kernels of User-mode Linux and lab's source code, so that nothing "
            "has to "
            "be offered by a registry later.",
        ),
    ] = False,
) -> None:
    """Pack runs into an archive for an artifact evaluation: all data, exact versions, claims and how to check them.

    Equal runs give equal bytes.  `lab reproduce` checks the archive.
    """
    from lab.artifact.pack import write_artifact
    from lab.store.run import open_run

    opened = [open_run(path) for path in runs]
    text = _license(license_)
    name = title or ", ".join(dict.fromkeys(run.experiment for run in opened))
    missing = write_artifact(output, opened, title=name, authors=author or (), license_text=text, with_image=with_image)
    for line in missing:
        say(f"not inside: {line}")
    print(output)


def _license(path: Path | None) -> bytes:
    """Return the text of the licence.

    Raises:
        InputError: The file cannot be read.
    """
    if path is not None:
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"--license: {path}: cannot be read: {error.strerror}") from error
    from lab.version import DISTRIBUTION

    checkout = Path(__file__).parents[2] / "LICENSE"
    if checkout.is_file():
        return checkout.read_bytes()
    files = metadata.files(DISTRIBUTION) or []
    found = next((file for file in files if re.search(r"\.dist-info/(licenses/)?LICENSE$", str(file))), None)
    if found is None:
        raise InputError("this installation of lab has no licence text; give --license FILE")
    return Path(str(found.locate())).read_bytes()
