# SPDX-License-Identifier: Apache-2.0
"""Commands about this machine: doctor, clean, trace."""

from __future__ import annotations

import typer

from lab.cli.common import say
from lab.errors import EXIT_FAILED


def doctor() -> None:
    """Say what this machine can do, and how to mend what is missing."""
    from lab.cli.doctor import examine

    marks = {True: "ok", False: "--", None: "  "}
    section, usable = "", True
    for line in examine():
        if line.section != section:
            section = line.section
            print(f"{section}:", flush=True)
        print(f"  {marks[line.ok]}  {line.what}")
        if line.fix:
            print(f"      → {line.fix}")
        usable = usable and (line.ok is not False or line.section == "native engine")
    if not usable:
        raise typer.Exit(EXIT_FAILED)


def clean() -> None:
    """Remove what native trials of a killed lab have left on this machine: processes, changed kernel parameters."""
    from lab.engine.native import isolation
    from lab.engine.native.engine import describe

    found = isolation.clean()
    say(f"removed: {describe(found)}" if found else "there is nothing to clean")


def trace(context: typer.Context) -> None:
    """Trace this host's TCP live, as root: `lab trace list`, `lab trace tcp_probe --port 5201`, `lab trace --help`."""
    from lab.cli.trace import run_tracer

    run_tracer(context.args)
