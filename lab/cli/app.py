# SPDX-License-Identifier: Apache-2.0
"""The ``lab`` command: its subcommands, and the exit code of each outcome."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from lab.cli.classroom.grade import grade
from lab.cli.classroom.handout import handout
from lab.cli.common import say
from lab.cli.machine import bundles, commands
from lab.cli.machine.init_ci import init_ci
from lab.cli.machine.prepare import prepare
from lab.cli.results import artifact, bisect, compare, figures, reproduce, runs
from lab.cli.results.expect import expect
from lab.cli.results.site import site
from lab.cli.running import experiments
from lab.cli.running.run import run
from lab.cli.running.watch import watch
from lab.cli.streams import checked_streams, output_error
from lab.errors import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, InputError, LabError
from lab.version import version_text

app = typer.Typer(
    name="lab",
    help="Network experiments on a real Linux kernel in deterministic virtual time.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
bundle_app = typer.Typer(
    help="The bundles of QEMU and a guest image that trials run in.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(bundle_app, name="bundle")


def _help_alone(context: typer.Context) -> None:
    # Typer's own option for this, no_args_is_help, exits with 2.
    if context.invoked_subcommand is None:
        print(context.get_help())


bundle_app.callback()(_help_alone)


for command in (
    run,
    prepare,
    experiments.check,
    experiments.new,
    experiments.schema,
    runs.report,
    runs.verify,
    compare.compare,
    expect,
    compare.baseline,
    bisect.bisect,
    artifact.artifact,
    reproduce.reproduce,
    grade,
    handout,
    site,
    init_ci,
    experiments.shell,
    watch,
    commands.doctor,
    commands.clean,
    runs.export,
    figures.figure,
    figures.paper,
):
    app.command()(command)
app.command("list")(runs.list_)
# The tracer parses its arguments itself, because it runs under another interpreter.
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    options_metavar="",
)(commands.trace)
bundle_app.command("build")(bundles.bundle_build)
bundle_app.command("list")(bundles.bundle_list)
bundle_app.command("info")(bundles.bundle_info)
bundle_app.command("use")(bundles.bundle_use)
bundle_app.command("rm")(bundles.bundle_rm)
bundle_app.command("export")(bundles.bundle_export)
bundle_app.command("import")(bundles.bundle_import)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version_text())
        raise typer.Exit


@app.callback()
def lab(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Print the version, and the commit if this is a checkout.",
        ),
    ] = False,
) -> None:
    """Network experiments on a real Linux kernel in deterministic virtual time."""
    _help_alone(context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``lab`` command and return its exit code; without ``arguments``, those of the process are used."""
    # A shell starts background jobs with SIGINT ignored, but a run can only be stopped in an orderly way by SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # SIGTERM has the same effect as Ctrl-C, so that the run is cleaned up in both cases.
    previous = signal.signal(signal.SIGTERM, lambda _signal, _frame: signal.raise_signal(signal.SIGINT))
    try:
        # The tracer, which replaces this process, says itself that its output is closed.
        is_trace = list(sys.argv[1:] if arguments is None else arguments)[:1] == ["trace"]
        return _guarded(lambda: _command().main(args=arguments, standalone_mode=False), with_output=not is_trace)
    finally:
        signal.signal(signal.SIGTERM, previous)


@functools.cache
def _command() -> Any:
    """Return what Typer makes of all functions above, which takes longer than many a command."""
    return typer.main.get_command(app)


def _guarded(command: Callable[[], Any], *, with_output: bool) -> int:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(checked_streams(with_output=with_output))
        except InputError as error:
            say(f"lab: {error}")
            return error.exit_code
        return _run(command)


def _run(command: Callable[[], Any]) -> int:
    try:
        result = command()
        sys.stdout.flush()
    except LabError as error:
        say(f"lab: {error}")
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:
        if isinstance(end, SystemExit) and not end.code:  # Shell completion ends in this way.
            sys.stdout.flush()
            return EXIT_OK
        # The reader of our output, such as `head`, has closed the pipe.  Typer would exit with status 1.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        if (reason := output_error(error)) is not None:
            say(f"lab: cannot write to standard output: {reason}")
        else:
            from lab.store.files import reason_of

            # What shutil.copytree() raises is a list, not a text.
            say(f"lab: {reason_of(error) if isinstance(error, shutil.Error) else error}")
        return EXIT_FAILED
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "format_message"):
            say(f"lab: {error.format_message()}")
            return EXIT_BAD_INPUT
        raise
    return result if isinstance(result, int) else EXIT_OK
