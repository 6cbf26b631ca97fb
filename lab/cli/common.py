# SPDX-License-Identifier: Apache-2.0
"""Code that several commands share: options, messages, and functions that make plans, engines and reports."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.api.engines import ENGINES, all_overrides, engine_named, planned
from lab.cli.streams import discard
from lab.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from lab.engine.base import Engine, Step
    from lab.engine.bundles import Bundle
    from lab.run.progress import Detail

__all__ = [
    "ENGINES",
    "BundleOption",
    "EngineName",
    "ExperimentFile",
    "Jobs",
    "Overrides",
    "Quiet",
    "RunFolder",
    "Verbose",
    "all_overrides",
    "chosen_bundles",
    "command_line",
    "completing",
    "console",
    "detail_of",
    "engine_named",
    "planned",
    "processors",
    "remove_leftovers_of_cache",
    "say",
    "say_what_counts",
    "write_new",
    "write_report",
]

ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", help="The experiment, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Set a field of the experiment, e.g. duration=5s; may be repeated."
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run, or an experiment's `latest` link.")
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Number of trials that run in parallel [default: one per processor]."),
]


def completing(*words: str) -> Callable[[str], list[str]]:
    """Return the function with which a shell completes the value of an option that is one of *words*."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        autocompletion=completing(*ENGINES),
        help="vm: in virtual machines, in virtual time; uml: in User-mode Linux, in virtual time and much faster; "
        "native: on this host's kernel, in real time, as root [default: the experiment's engine].",
    ),
]

BundleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bundle",
        metavar="DIGEST|FILE|URL",
        help="Use this bundle in place of the default one (see `lab bundle`); a file is imported first. May be "
        "repeated, for experiments with several kernels.",
    ),
]

Verbose = Annotated[
    bool,
    typer.Option(
        "-v",
        "--verbose",
        help="Print a line for everything that happens, and what the results depend on, instead of a progress display.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print results and errors only, no progress.")]


_WIDTH = 110
"""The number of columns if the messages do not go to a terminal."""


def console() -> Console:
    """Return the console on which messages with styles and tables are shown, on the standard error stream."""
    from rich.console import Console

    found = Console(stderr=True, highlight=False)
    return found if found.is_terminal else Console(stderr=True, highlight=False, width=_WIDTH)


def chosen_bundles(names: list[str] | None) -> list[Bundle]:
    """Return the bundles that the user has chosen; a file is imported.

    Raises:
        InputError: A name is no digest of a bundle, no file and no address of one.
    """
    if not names:
        return []
    from lab.bundle.transfer import bundles_named

    return bundles_named(names, say)


def detail_of(verbose: bool, quiet: bool) -> Detail:
    """Return how much a command with these options prints.

    Raises:
        InputError: Both options are given.
    """
    from lab.run.progress import Detail

    if verbose and quiet:
        raise InputError("found --verbose and --quiet; expected one of them")
    return Detail.QUIET if quiet else Detail.VERBOSE if verbose else Detail.NORMAL


def say_what_counts(engine: Engine, detail: Detail) -> None:
    """If the user wants to know everything, print what the engine's results depend on, and where the cache is."""
    from lab.run.progress import Detail
    from lab.store import places

    if detail is Detail.VERBOSE:
        for name, value in engine.about().items():
            say(f"{name}: {value}")
        say(f"cache: {places.cache_root()}")


def write_report(run_dir: Path, *, quiet: bool = False, will_be_compared: bool = False) -> Path:
    """Write the report of a run and return its path; say so first, unless *quiet*.

    With *will_be_compared*, its page links the comparison with a baseline, which the caller writes next.
    """
    from lab.report import build_report
    from lab.store import places

    if not quiet:
        say("writing the report")
    return build_report(run_dir, places.figures(), lambda line: say(f"lab: {line}"), will_be_compared=will_be_compared)


def write_new(path: Path, text: str, advice: str = "choose another name") -> None:
    """Write a file that must be new; *advice* says what to do if it is not.

    Raises:
        InputError: It is there already, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as output:
            output.write(text)
    except FileExistsError:
        raise InputError(f"{path}: the file already exists and was not changed; {advice}") from None
    except OSError as exc:
        raise InputError(f"{path}: cannot be written: {exc.strerror}") from exc


def remove_leftovers_of_cache(step: Step) -> None:
    """Remove what killed processes have left in the cache, and say what cannot be removed."""
    from lab.engine.base import Notice
    from lab.store import places

    for message in places.remove_leftovers():
        step(Notice(message))


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def command_line() -> str:
    """Return the command line of this process, quoted for a shell."""
    return shlex.join(["lab", *sys.argv[1:]])


def say(line: str) -> None:
    """Print a message on standard error; if that is full, nothing can be said."""
    try:
        print(line, file=sys.stderr)
    except OSError:
        discard(sys.stderr)
