# SPDX-License-Identifier: Apache-2.0
"""The command `lab reproduce`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.common import Jobs, Quiet, Verbose, detail_of, processors, say
from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_OK, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.artifact.document import ArtifactDocument, RunDocument
    from lab.store.run import Run

_SHOWN = 6


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
    trust_programs: Annotated[
        bool,
        typer.Option(
            "--trust-programs",
            help="Run the artifact's own QEMU and kernel of User-mode Linux, which are programs, on this host.",
        ),
    ] = False,
    jobs: Jobs = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Unpack an artifact, run its trials again, and say whether every byte is the same, or what differs."""
    from lab.artifact.builds import use_builds
    from lab.artifact.document import RUNS, read_document
    from lab.bundle.archive import name_of, unpack
    from lab.cli.results.runs import verified
    from lab.store.folders import new_folder
    from lab.store.run import open_run

    detail = detail_of(verbose, quiet)
    folder = output if output is not None else Path("reproduced") / name_of(archive)
    if folder.exists():
        raise InputError(f"{folder} exists already; give another folder with --output, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder) as unpacked:
        top = unpack(archive, unpacked)
        document = read_document(top)
        chosen = _chosen(document, run)
        in_real_time = [place for place in map(_place, chosen) if not _is_exact(open_run(top / RUNS / place))]
    top = (folder / top.name).resolve()
    for line in use_builds(top, document, folder.resolve() / "cache", trust=trust_programs):
        say(line)
    # If nothing can be reproduced, this is no success.
    code = EXIT_OK if len(in_real_time) < len(chosen) else EXIT_EXPECTATION_FAILED
    for one in chosen:
        place = _place(one)
        if place in in_real_time:
            say(
                f"{place}: made in real time; `lab verify {top / 'runs' / place}` runs it again as root and compares "
                "means"
            )
            continue
        print(f"{place}:", flush=True)
        code = max(code, verified(top / "runs" / place, trials, jobs or processors(), detail), _claimed(top, one))
    raise typer.Exit(code)


def _place(run: RunDocument) -> str:
    return f"{run['experiment']}/{run['id']}"


def _is_exact(run: Run) -> bool:
    """Return whether the trials of a run may run again: those of the native engine would run on this host, as root.

    What counts is what :func:`lab.cli.results.runs.verified` goes by, and not what the artifact claims.
    """
    engine: str = run.provenance.get("engine", run.plan.get("engine", "vm"))
    return engine != "native"


def _chosen(document: ArtifactDocument, names: Sequence[str] | None) -> list[RunDocument]:
    """Return the runs to reproduce.

    Raises:
        InputError: There is no run of this name.
    """
    by_name = {_place(one): one for one in document["runs"]}
    unknown = [name for name in names or () if name not in by_name]
    if unknown:
        raise InputError(f"--run: found {unknown[0]!r}; expected one of {', '.join(list(by_name)[:_SHOWN])}")
    return [by_name[name] for name in names] if names else list(by_name.values())


def _claimed(top: Path, claimed: RunDocument) -> int:
    """Compare what the artifact claims of a run with what follows from its stored trials; return the exit code."""
    from lab.artifact.document import RUNS, run_document
    from lab.store.digest import file_digests
    from lab.store.folders import scratch_folder
    from lab.store.run import open_run

    run = open_run(top / RUNS / claimed["experiment"] / claimed["id"])
    found, problems = run_document(run), []
    if (found["results_digest"], found["trials"]) != (claimed["results_digest"], claimed["trials"]):
        problems.append("the digests in artifact.json are not those of the run's trials")
    say("making the report again")
    with scratch_folder("reproduce", say, top.parent) as scratch:
        again = _reported_again(run, scratch)
        claims = run_document(again)["claims"]
        same = sum(claim in claims for claim in claimed["claims"])
        if claims != claimed["claims"]:
            problems.append("the claims are not those that follow from the run's trials")
        old, new = (file_digests(one.report_dir / "figures") for one in (run, again))
    equal = sum(new.get(name) == digest for name, digest in old.items())
    for problem in problems:
        print(problem)
    claims_text = f"{same}/{len(claimed['claims'])} claims follow from the trials"
    print(f"{claims_text}; {equal}/{len(old)} files of figures are the same")
    return EXIT_EXPECTATION_FAILED if problems else EXIT_OK


def _reported_again(run: Run, scratch: Path) -> Run:
    """Make the report of a copy of *run*, in the folder *scratch*, and return the copy."""
    from lab.report import build_report
    from lab.store.run import open_run

    copy = scratch / run.experiment / run.id
    shutil.copytree(run.path, copy, ignore=lambda folder, _names: ["report"] if Path(folder) == run.path else [])
    build_report(copy)
    return open_run(copy)
