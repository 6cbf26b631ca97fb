# SPDX-License-Identifier: Apache-2.0
"""The commands for this machine: doctor, clean, trace."""

from __future__ import annotations

import typer

from lab.cli.common import say
from lab.errors import EXIT_FAILED


def doctor() -> None:
    """Show what works on this machine, what is missing, and how to fix it."""
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
    """Clean up after native trials whose lab process was killed: end their processes, restore kernel parameters."""
    from lab.engine.native import isolation
    from lab.engine.native.engine import describe

    found = isolation.clean()
    say(f"cleaned up: {describe(found)}" if found else "there is nothing to clean up")


def trace(context: typer.Context) -> None:
    """Trace TCP on this host live, as root: `lab trace list`, `lab trace tcp_probe --port 5201`, `lab trace --help`."""
    from lab.cli.trace import run_tracer

    run_tracer(context.args)
