# SPDX-License-Identifier: Apache-2.0
"""The commands for this machine: doctor, clean, trace."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lab.cli.common import say
from lab.errors import EXIT_FAILED, InputError


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Install the Debian packages that are missing, after asking.")] = (
        False
    ),
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: install without asking, for scripts.")] = False,
) -> None:
    """Show what works on this machine, what is missing, and how to fix it."""
    from lab.cli.machine.doctor import examine

    if yes and not fix:
        raise InputError("--yes: found without --fix; expected `lab doctor --fix --yes`")
    if fix:
        _install_missing(ask=not yes)
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


def _install_missing(*, ask: bool) -> None:
    """Install the missing packages; with *ask*, only if the user agrees."""
    from lab.cli.machine import packages

    names = [package.name for package in packages.missing()]
    if not names:
        say("no Debian package is missing")
        return
    commands = packages.install_commands(names)
    say("to install what is missing:")
    for command in commands:
        say(f"  {' '.join(command)}")
    if ask and not sys.stdin.isatty():
        raise InputError("--fix: standard input is not a terminal on which to ask; add --yes to install without asking")
    if ask and not typer.confirm("run these commands?", err=True):
        say("nothing was installed")
        return
    packages.carry_out(commands)


def clean() -> None:
    """Clean up after native trials whose lab process was killed: end their processes, restore kernel parameters."""
    from lab.engine.native import isolation
    from lab.engine.native.engine import describe, left_alone

    with isolation.only_one():
        found = isolation.clean()
    if found.foreign:
        say(left_alone(found))
    say(f"cleaned up: {describe(found)}" if found else "there is nothing to clean up")


def trace(context: typer.Context) -> None:
    """Trace TCP on this host live, as root: `lab trace list`, `lab trace tcp_probe --port 5201`, `lab trace --help`."""
    from lab.cli.machine.trace import run_tracer

    run_tracer(context.args)
