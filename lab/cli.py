# SPDX-License-Identifier: Apache-2.0
"""The command line: reads arguments, prints, and picks the exit code.  The work is done elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lab import kernels
from lab.errors import (
    EXIT_BAD_INPUT,
    EXIT_EXPECTATION_FAILED,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    InputError,
    LabError,
)

if TYPE_CHECKING:
    from lab.engine.base import Engine
    from lab.plan import Plan, Trial
    from lab.runner import Observer
    from lab.spec.load import LoadedExperiment
    from lab.store import Run

app = typer.Typer(
    name="lab",
    help="Network experiments on a real Linux kernel in deterministic virtual time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
image_app = typer.Typer(help="The guest image that trials run in.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(image_app, name="image")

ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", help="The experiment, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a field, e.g. duration=5s; may be given more than once."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run, or its `latest` link.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Trials at a time [default: one per processor].")]


@app.command()
def run(
    file: ExperimentFile,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where runs go.")] = Path("results"),
    jobs: Jobs = None,
    set_: Overrides = None,
    engine_: Annotated[
        str, typer.Option("--engine", metavar="ENGINE", help="vm: in virtual time; native: on this kernel, as root.")
    ] = "vm",
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every trial, whether it ran before or not.")
    ] = False,
) -> None:
    """Run an experiment and write its report.  The last line printed is the run's folder."""
    from lab.image import cache
    from lab.progress import observing
    from lab.runner import Runner
    from lab.store import TrialCache, create_run

    loaded, plan = _planned(file, set_)
    engine = _engine(engine_, plan, loaded.packages)
    with observing(plan) as observer:
        engine.locate(observer.step)
        folder = create_run(output, plan.name, loaded.text, json.loads(plan.to_json()), loaded.files)
        about = {"command": _command(), "overrides": list(set_ or ())}
        runner = Runner(
            engine,
            observer,
            plan,
            folder,
            jobs=jobs or _processors(),
            cache=TrialCache(cache.trials()),
            read_cache=not no_cache,
        )
        try:
            outcome = asyncio.run(runner.run(about))
        except KeyboardInterrupt:
            finished = len(folder.finished_ids())
            _say(f"interrupted; {finished} of {len(plan.trials)} trials are kept; the same command goes on from there")
            raise
        observer.step("writing the report")
        _report(folder.path)
    for trial_id, error in outcome.failures.items():
        _say(f"lab: trial {trial_id} failed: {error}")
    _say(f"report: {folder.path / 'report' / 'index.html'}")
    print(folder.path)
    if outcome.failures:
        _say(f"lab: {len(outcome.failures)} of {len(plan.trials)} trials failed")
        raise typer.Exit(EXIT_FAILED)


@app.command()
def check(
    file: ExperimentFile,
    set_: Overrides = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Also draw the topology, as an SVG file.")
    ] = None,
) -> None:
    """Validate an experiment and print what it comes to, without running it."""
    from lab.plan import describe
    from lab.preview import preview

    _loaded, plan = _planned(file, set_)
    print(describe(plan))
    print(preview(plan, _processors()))
    if svg is not None:
        from lab.report.topology import save_topology

        try:
            save_topology([trial.job for trial in plan.trials if trial.repetition == 1], svg)
        except OSError as exc:
            raise InputError(f"{svg}: cannot be written: {exc.strerror}") from exc
        _say(f"drawn: {svg}")


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as my_first.yaml.")],
) -> None:
    """Write a commented experiment to start from."""
    from lab.spec.starter import starter

    try:
        text = starter(file.stem)
        with file.open("x", encoding="utf-8") as output:
            output.write(text)
    except FileExistsError:
        raise InputError(f"{file}: there is such a file already; it was left as it is") from None
    except OSError as exc:
        raise InputError(f"{file}: cannot be written: {exc.strerror}") from exc
    _say(f"now: lab check {shlex.quote(str(file))}, then lab run {shlex.quote(str(file))}")
    print(file)


@app.command()
def schema() -> None:
    """Print the JSON Schema of experiment files."""
    from lab.spec.schema import json_schema

    print(json.dumps(json_schema(), indent=2))


@app.command()
def report(run_dir: RunFolder) -> None:
    """Rebuild the report of a run from what is stored."""
    print(_report(run_dir))


@app.command()
def verify(
    run_dir: RunFolder,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, metavar="N", help="How many, spread over the run [default: all].")
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Run trials of a finished run again and compare every byte of their records; of a native run, their means."""
    from lab import verify as verification
    from lab.plan import Plan
    from lab.progress import observing
    from lab.store import open_run

    folder = open_run(run_dir)
    plan = Plan.from_json((folder.path / "plan.json").read_bytes())
    chosen = verification.chosen_trials(plan, folder, trials)
    plan = replace(plan, trials=tuple(chosen))
    engine = _engine(folder.provenance.get("engine", "vm"), plan, {})
    if not engine.is_exact:
        _verify_means(folder, plan, engine)
        return
    with observing(plan) as observer:
        _locate_again(engine, folder, observer)
        differences = asyncio.run(verification.verify(folder, chosen, engine, observer, jobs=jobs or _processors()))
    for difference in differences:
        print(difference)
    print(f"{len(chosen) - len(differences)}/{len(chosen)} byte-identical")
    if any(difference.error for difference in differences):
        raise typer.Exit(EXIT_FAILED)
    if differences:
        raise typer.Exit(EXIT_EXPECTATION_FAILED)


def _locate_again(engine: Engine, folder: Run, observer: Observer) -> None:
    """Locate the engine, and say what it has otherwise than the run's."""
    from lab.verify import changed_inputs

    engine.locate(observer.step)
    for line in changed_inputs(folder, engine):
        _say(f"not the same machine: {line}")


def _verify_means(folder: Run, plan: Plan, engine: Engine) -> None:
    from lab.progress import observing
    from lab.repeat import repeat

    _say("the run was made in real time and cannot come out the same to the byte: its trials run again, and the means")
    _say("of both runs are compared (Welch's t-test, 99 %)")
    with observing(plan) as observer:
        _locate_again(engine, folder, observer)
        compared = asyncio.run(repeat(folder, plan, engine, observer))
    for one in compared:
        print(one)
    differing = sum(one.comparison.differs is True for one in compared)
    print(f"{len(compared) - differing}/{len(compared)} agree")
    if not compared:
        raise typer.Exit(EXIT_FAILED)
    if differing:
        raise typer.Exit(EXIT_EXPECTATION_FAILED)


@app.command()
def shell(
    file: ExperimentFile,
    set_: Overrides = None,
    trial: Annotated[
        str | None,
        typer.Option("--trial", metavar="ID", help="Its id, or its number in the plan [default: 1]."),
    ] = None,
) -> None:
    """Bring the topology of an experiment up in a virtual machine in real time, with Mininet's command line."""
    from lab.engine.vm.engine import VmEngine
    from lab.engine.vm.shell import run_shell

    loaded, plan = _planned(file, set_)
    chosen = _trial(plan, trial)
    engine = VmEngine([chosen.job["kernel"]], packages=loaded.packages)
    engine.locate(_say)
    _say(f"booting the topology of trial {chosen.id}; exit ends it")
    run_shell(engine.machine(chosen.job["kernel"])[1], chosen.job)


def _trial(plan: Plan, wanted: str | None) -> Trial:
    """Return the trial of this id, or number from 1; the first without one."""
    if wanted is None:
        return plan.trials[0]
    if wanted.isdigit() and 1 <= int(wanted) <= len(plan.trials):
        return plan.trials[int(wanted) - 1]
    found = next((trial for trial in plan.trials if trial.id == wanted), None)
    if found is None:
        known = ", ".join(trial.id for trial in plan.trials[:6])
        more = f" … ({len(plan.trials)} in all)" if len(plan.trials) > 6 else ""
        raise InputError(f"--trial: found {wanted!r}; expected 1 to {len(plan.trials)}, or one of {known}{more}")
    return found


@app.command()
def doctor() -> None:
    """Say what this machine can do, and how to mend what is missing."""
    from lab.doctor import examine

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


@app.command()
def clean() -> None:
    """Remove what native trials of a killed lab have left on this machine: processes, changed kernel parameters."""
    from lab.engine.native import isolation
    from lab.engine.native.engine import describe

    found = isolation.clean()
    _say(f"removed: {describe(found)}" if found else "there is nothing to clean")


@app.command()
def export(
    run_dir: RunFolder,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="tcpprobe: the old module's lines.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")] = Path("export"),
    trial: Annotated[
        list[str] | None,
        typer.Option("--trial", metavar="ID", help="Of this trial; may be given again [default: all]."),
    ] = None,
) -> None:
    """Write a run's traces in another tool's format, one file for every trial and flow; prints their names."""
    from lab.export import export_tcpprobe

    if format_ != "tcpprobe":
        raise InputError(f"found format {format_!r}; expected 'tcpprobe'")
    for path in export_tcpprobe(run_dir, output, trial or ()):
        print(path)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    options_metavar="",
)
def trace(context: typer.Context) -> None:
    """Trace this host's TCP live, as root: `lab trace list`, `lab trace probe --port 5201`, `lab trace --help`."""
    from lab.trace import run_tracer

    run_tracer(context.args)


@image_app.command("build")
def image_build(
    kernel: Annotated[
        str, typer.Option(metavar="KERNEL", help="debian-12, debian-13, or a Debian package with another.")
    ] = kernels.DEFAULT,
    mirror: Annotated[str | None, typer.Option(metavar="URL", help="Debian mirror to take the packages from.")] = None,
) -> None:
    """Build the guest image, whether there is one or not."""
    from lab.image.build import build_image

    package = None
    if kernel not in kernels.DEBIAN:
        from lab.spec.kernel import EXPECTED, SUFFIX
        from lab.spec.reading import package_in

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
        image = build_image(lambda what: _say(f"guest image: {what}"), kernel=kernel, package=package, mirror=mirror)
    print(image.digest)


@image_app.command("list")
def image_list() -> None:
    """List the images in the cache; those that `lab run` takes, of each kernel, are marked."""
    from lab.image.build import find_image, list_images

    for image in list_images():
        current = find_image(image.kernel_name)
        mark = "*" if current is not None and image.digest == current.digest else " "
        size = image.bytes_on_disk() / 1e6
        print(f"{mark} {image.digest[:16]}  {image.suite}  {image.kernel}  {size:.0f} MB  built {image.built}")


@image_app.command("info")
def image_info(
    digest: Annotated[str | None, typer.Argument(help="Start of its digest [default: the current].")] = None,
) -> None:
    """Print what an image is made of."""
    image = _image(digest)
    print(f"digest   {image.digest}\npath     {image.path}\nsuite    {image.suite}\nkernel   {image.kernel}")
    print(f"built    {image.built}\nrecipe   {image.recipe}\non disk  {image.bytes_on_disk() / 1e6:.0f} MB")
    print((image.path / "packages").read_text(encoding="utf-8"), end="")


@image_app.command("rm")
def image_rm(digest: Annotated[str, typer.Argument(help="Start of its digest.")]) -> None:
    """Remove an image from the cache."""
    image = _image(digest)
    shutil.rmtree(image.path)
    print(f"removed {image.digest}")


def _image(prefix: str | None) -> Any:
    from lab.image.build import find_image, list_images

    if prefix is None:
        current = find_image()
        if current is None:
            raise InputError("there is no image yet; `lab image build` builds it")
        return current
    found = [image for image in list_images() if image.digest.startswith(prefix)]
    if len(found) != 1:
        known = ", ".join(image.digest[:16] for image in list_images()) or "none"
        raise InputError(f"{len(found)} images start with {prefix!r}; there are: {known}")
    return found[0]


def _planned(file: Path, overrides: Sequence[str] | None) -> tuple[LoadedExperiment, Plan]:
    from lab.plan import make_plan
    from lab.spec.load import load_experiment

    loaded = load_experiment(file, overrides or ())
    return loaded, make_plan(loaded.raw, loaded.contents)


def _engine(name: str, plan: Plan, packages: Mapping[str, Path]) -> Engine:
    if name == "vm":
        from lab.engine.vm.engine import VmEngine

        return VmEngine(plan.kernels, packages=packages)
    if name != "native":
        raise InputError(f"--engine: found {name!r}; expected vm or native")
    from lab.engine.native.engine import NativeEngine

    if plan.kernels != [kernels.DEFAULT]:
        raise InputError(f"the native engine has this host's kernel only; the experiment asks for {plan.kernels[-1]}")
    return NativeEngine([trial.job for trial in plan.trials])


def _report(run_dir: Path) -> Path:
    from lab.image import cache
    from lab.report import build_report

    return build_report(run_dir, cache.cache_root() / "figures")


def _processors() -> int:
    return len(os.sched_getaffinity(0))


def _command() -> str:
    return shlex.join(["lab", *sys.argv[1:]])


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``lab`` command; returns the exit code."""
    # A shell starts background jobs deaf to SIGINT, on which stopping at all depends here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # SIGTERM stops it as Ctrl-C does, so that nothing is left behind.
    previous = signal.signal(signal.SIGTERM, lambda _signal, _frame: signal.raise_signal(signal.SIGINT))
    try:
        return _guarded(lambda: app(args=arguments, standalone_mode=False))
    finally:
        signal.signal(signal.SIGTERM, previous)


def _guarded(command: Callable[[], Any]) -> int:
    try:
        result = command()
        sys.stdout.flush()
    except LabError as error:
        _say(f"lab: {error}")
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The reader of our output has gone, as `head` does; typer's own answer to that is to exit with 1.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        _say(f"lab: {error}")
        return EXIT_FAILED
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "format_message"):
            _say(f"lab: {error.format_message()}")
            return EXIT_BAD_INPUT
        raise
    return result if isinstance(result, int) else EXIT_OK
