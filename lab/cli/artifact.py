# SPDX-License-Identifier: Apache-2.0
"""The commands `lab artifact` and `lab reproduce`."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Jobs, Quiet, Verbose, detail_of, processors, say
from lab.errors import EXIT_OK, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.artifact.document import ArtifactDocument, RunDocument

_SHOWN = 6


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


def reproduce(
    archive: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The archive, as `lab artifact` writes it.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The new folder to unpack to [default: reproduced/NAME]."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, metavar="N", help="Number of trials of each run to run again [default: all]."),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="EXPERIMENT/ID", help="Only this run; may be repeated [default: all runs]."),
    ] = None,
    trust_kernel: Annotated[
        bool,
        typer.Option(
            "--trust-kernel", help="Run the artifact's own kernel of User-mode Linux as a program on this host."
        ),
    ] = False,
    jobs: Jobs = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Unpack an artifact, run its trials again, and say whether every byte is the same, or what differs."""
    from lab.artifact.archive import name_of, unpack
    from lab.artifact.builds import use_builds
    from lab.artifact.document import read_document
    from lab.cli.runs import verified
    from lab.store.folders import new_folder

    detail = detail_of(verbose, quiet)
    folder = output if output is not None else Path("reproduced") / name_of(archive)
    if folder.exists():
        raise InputError(f"{folder} exists already; give another folder with --output, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder) as unpacked:
        top = unpack(archive, unpacked)
        name = top.name
    top = (folder / name).resolve()
    document = read_document(top)
    chosen = _chosen(document, run)
    for line in use_builds(top, document, folder.resolve() / "cache", trust=trust_kernel):
        say(line)
    code = EXIT_OK
    for one in chosen:
        place = f"{one['experiment']}/{one['id']}"
        if one["engine"] == "native":
            say(
                f"{place}: made in real time; `lab verify {top / 'runs' / place}` runs it again as root and compares "
                "means"
            )
            continue
        print(f"{place}:", flush=True)
        code = max(code, _claimed(top, one), verified(top / "runs" / place, trials, jobs or processors(), detail))
    raise typer.Exit(code)


def _chosen(document: ArtifactDocument, names: Sequence[str] | None) -> list[RunDocument]:
    """Return the runs to reproduce.

    Raises:
        InputError: There is no run of this name.
    """
    by_name = {f"{one['experiment']}/{one['id']}": one for one in document["runs"]}
    unknown = [name for name in names or () if name not in by_name]
    if unknown:
        raise InputError(f"--run: found {unknown[0]!r}; expected one of {', '.join(list(by_name)[:_SHOWN])}")
    return [by_name[name] for name in names] if names else list(by_name.values())


def _claimed(top: Path, claimed: RunDocument) -> int:
    """Compare the records of a run in the artifact with the digests that the artifact claims; return the exit code."""
    from lab.artifact.document import run_document
    from lab.errors import EXIT_EXPECTATION_FAILED
    from lab.store.run import open_run

    found = run_document(open_run(top / "runs" / claimed["experiment"] / claimed["id"]))
    if (found["results_digest"], found["trials"]) == (claimed["results_digest"], claimed["trials"]):
        return EXIT_OK
    print("the digests in artifact.json are not those of the run's trials")
    return EXIT_EXPECTATION_FAILED
