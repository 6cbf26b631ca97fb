# SPDX-License-Identifier: Apache-2.0
"""Fixtures that run real trials.

The guest image and the templates are built once per machine and shared; everything else belongs to the test.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from lab.engine.emulator.build import Emulator, locate_emulator
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.experiment.read.load import load_experiment
from lab.job import kernels
from lab.job.protocol import Job, Record
from lab.plan.plan import Plan, make_plan
from lab.store import places

SHIPPED = Path(__file__).parents[1] / "experiments" / "cubic_vs_bbr.yaml"
ALL_PROCESSORS = os.sched_getaffinity(0)
"""The processors that this process may use; :func:`pytest_configure` leaves it one of them."""

FAST = kernels.DEFAULT_UML
"""The kernel on which tests run unless their subject is the virtual machine: its engine is many times faster."""

FAST_AND_AT_NIGHT_VM = (FAST, pytest.param(kernels.DEFAULT, marks=pytest.mark.nightly))
"""The kernels for tests whose subject both engines share: the virtual machine repeats them at night."""

FAST_AND_VM = (FAST, kernels.DEFAULT)
"""The kernels for the few trials of such a subject that run in both engines every time."""

SHARED_PARTS = ("images", "recipes", "templates", "locks", "emulators", "uml-kernels", "kernel-headers", "checked")


@pytest.fixture(scope="session")
def lab_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache without finished trials; it shares the parts that are costly to build with the user's own cache."""
    real = places.cache_root()
    mine = tmp_path_factory.mktemp("cache")
    for part in SHARED_PARTS:
        (real / part).mkdir(parents=True, exist_ok=True)
        (mine / part).symlink_to(real / part)
    before = os.environ.get("LAB_CACHE")
    os.environ["LAB_CACHE"] = str(mine)
    yield mine
    if before is None:
        del os.environ["LAB_CACHE"]
    else:
        os.environ["LAB_CACHE"] = before


TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "setpriv": "util-linux",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="also tests that take long or repeat what others cover")


REPORT = Path("tests", "unit", "report")
"""The folder of the tests that share the figures of the captured experiments."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that are marked as nightly, unless the option asks for them, and let long units come early."""
    # Those of the report come before other unit tests: short ones at the end let no worker wait for the others.
    items.sort(key=lambda item: 1 if _is_of_report(item.nodeid) else 2 if item.nodeid.startswith("tests/unit/") else 0)
    if not config.getoption("nightly"):
        left_out = [item for item in items if item.get_closest_marker("nightly") is not None]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.get_closest_marker("nightly") is None]


def _is_of_report(nodeid: str) -> bool:
    return Path(nodeid.partition("::")[0]).parent == REPORT


def pytest_configure() -> None:
    """Give each worker of pytest-xdist a processor of its own, and to the virtual machines that it starts."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[int(worker.removeprefix("gw")) % len(processors)]})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Let workers of pytest-xdist take whole files, in the order of collection: long tests come first."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps tests together that share a boot of the guest, a run, figures, or the kernel of this machine."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0])
        if file.parent.name == "live":
            return "the kernel of this machine"
        if _is_of_report(nodeid):
            return "the figures of the captured experiments"
        # The tests in this file share nothing, and each takes long.
        return nodeid if file.name == "test_adversity.py" else str(file)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail tests that need something that this machine does not have.

    Tests that need a virtual machine fail if a tool is missing.  If they were skipped silently, nobody would notice
    that nothing was tested.
    """
    if item.get_closest_marker("live") is not None:
        if os.environ.get("LAB_SKIP_LIVE") == "1":
            pytest.skip("LAB_SKIP_LIVE=1")
        if os.geteuid() != 0:
            pytest.skip("tracing requires root")
    if item.get_closest_marker("browser") is not None and shutil.which("chromium") is None:
        pytest.skip("opening pages requires Debian's package chromium, which `make test` installs")
    if item.get_closest_marker("vm") is None:
        return
    if os.environ.get("LAB_SKIP_VM") == "1":
        pytest.skip("LAB_SKIP_VM=1")
    missing = [f"{tool} (package {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        pytest.fail(
            f"install {', '.join(missing)} with `make setup`, or skip these tests with LAB_SKIP_VM=1", pytrace=False
        )


@pytest.fixture
def all_processors() -> Iterator[None]:
    """Let two processes run at the same time, also if the tests have a single processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_PROCESSORS)
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="session")
def emulator(lab_cache: Path) -> Emulator:
    """The current emulator, which may have to be built."""
    return locate_emulator(print)


@pytest.fixture(scope="session")
def engines(lab_cache: Path) -> Callable[[str], VmEngine | UmlEngine]:
    """A function that returns the prepared engine for a kernel.

    The first test that asks for a kernel may have to build its image and template.
    """

    @functools.cache
    def made(kernel: str) -> VmEngine | UmlEngine:
        engine = UmlEngine([kernel]) if kernel in kernels.UML else VmEngine([kernel])
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, ALL_PROCESSORS)  # Compiling a kernel uses them all.
        try:
            engine.locate(print)
        finally:
            os.sched_setaffinity(0, own)
        asyncio.run(engine.prepare(print))
        return engine

    return made


@pytest.fixture(scope="session")
def uml(engines: Callable[[str], VmEngine | UmlEngine]) -> UmlEngine:
    """The prepared engine of User-mode Linux."""
    found = engines(FAST)
    assert isinstance(found, UmlEngine)
    return found


@pytest.fixture(scope="session")
def engine(engines: Callable[[str], VmEngine | UmlEngine]) -> VmEngine:
    """The prepared VM engine for the default kernel."""
    found = engines(kernels.DEFAULT)
    assert isinstance(found, VmEngine)
    return found


def plan_of(*overrides: str, kernel: str = FAST) -> Plan:
    """Return the plan of the shipped experiment with one repetition, changed by ``PATH=VALUE`` overrides."""
    engine = "uml" if kernel in kernels.UML else "vm"
    return make_plan(load_experiment(SHIPPED, ["repeat=1", f"engine={engine}", f"kernel={kernel}", *overrides]).checked)


def job_of(*overrides: str, cc: str = "cubic", loss: str = "0%", kernel: str = FAST) -> Job:
    """Return the job of a single trial with one congestion control and one loss rate."""
    matrix = (f"matrix.flows.bulk.cc=[{cc}]", f"matrix.topology.bottleneck.loss=[{loss}]")
    (trial,) = plan_of(*overrides, *matrix, kernel=kernel).trials
    return trial.job


@pytest.fixture(scope="session")
def run_job(
    engines: Callable[[str], VmEngine | UmlEngine], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Job], Path]:
    """A function that runs a job in the guest and returns the directory of its record.

    The environment variable ``LAB_TEST_KERNEL`` makes all jobs run on another kernel.
    """
    tested = os.environ.get("LAB_TEST_KERNEL")

    def run(job: Job) -> Path:
        directory = tmp_path_factory.mktemp("trial") / "record"
        directory.mkdir()
        own: Job = {**job, "kernel": tested or job["kernel"]}
        asyncio.run(engines(own["kernel"]).run(own, directory, 0, lambda _now: None))
        return directory

    return run


def record_in(directory: Path) -> Record:
    """Return the record in *directory*."""
    record: Record = json.loads((directory / "record.json").read_text())
    return record


@pytest.fixture
def lab(lab_cache: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs the ``lab`` command and waits for its end."""

    def run(*arguments: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(lab_command()), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **environment},
        )

    return run


def lab_command() -> Path:
    """Return the path of the ``lab`` command."""
    return Path(sys.executable).with_name("lab")


def write_program(path: Path, script: str) -> Path:
    """Write a shell script that replaces a real program if its folder comes first in PATH."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


OFFERED = {"linux-image-6.12.0-test": "6.12.0-1", "linux-image-6.12.9-test": "6.12.9-1"}
"""The kernels that the archive of :func:`write_bootstrap` offers in each release, the newest last."""

ARCHIVE = r"""# What lab.engine.debian.kernels.sh does, with the kernels of a test: list them, or download one.
for word; do
	case $word in
	--customize-hook=*kernels.sh*) eval set -- ${word#*=}; shift 2; release=$1; package=${2-}; version=${3-} ;;
	--extract-hook=copy-out*) eval set -- ${word#*=}; emulator=$3 ;;
	--customize-hook=copy-out*) eval set -- ${word#*=}; target=$3 ;;
	esac
done
if [ -n "${emulator-}" ]; then
	cp -r 'EMULATOR' "$emulator/emulator"
	exit
fi
if [ -n "${target-}" ]; then
	echo "$release $package $version" >>'ASKED'
	mkdir "$target/out"
	if [ -n "$package" ]; then
		echo "$package $version" >"$target/out/${package}_${version}_amd64.deb"
	else
		printf 'OFFERED' >"$target/out/kernels"
		echo NEWEST >"$target/out/newest"
	fi
	exit
fi
"""


def write_bootstrap(
    folder: Path, *, note: str = "", offered: Mapping[str, str] = OFFERED, mkfs: str | None = None
) -> Path:
    """Write an ``mmdebstrap`` that needs no network and delivers only the few files that an image requires.

    It also delivers an emulator whose programs are small scripts; ``mkfs`` is that of ``mkfs.erofs``.

    It appends what is asked of its archive, which has the kernels *offered*, to the file ``asked`` in *folder*.
    """
    lines = "".join(f"{package} {version}\\n" for package, version in offered.items())
    from tests.emulators import PACKS, write_files

    write_files(folder / "emulator", qemu="echo QEMU emulator version 10.0", mkfs=mkfs or PACKS)
    archive = (
        ARCHIVE.replace("EMULATOR", str(folder / "emulator"))
        .replace("ASKED", str(folder / "asked"))
        .replace("OFFERED", lines)
    )
    archive = archive.replace("NEWEST", list(offered)[-1])
    kernel = "6.12.0-test"
    root = folder / "tree"
    modules = root / "usr/lib/modules" / kernel
    names = ("kernel/libnvdimm.ko", "kernel/nd_pmem.ko", "kernel/nfit.ko", "kernel/erofs.ko")
    contents = {
        "boot/vmlinuz-" + kernel: "kernel",
        "usr/bin/busybox": "busybox",
        "usr/share/lab/kernel-release": kernel + "\n",
        "usr/share/lab/packages": f"linux-image 6.12 {note}\n",
        f"usr/lib/modules/{kernel}/modules.dep": f"{names[0]}:\n"
        + "".join(f"{name}: {names[0]}\n" for name in names[1:3])
        + f"{names[3]}:\n",
    }
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in names:
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_text(name)
    # The archive is the last argument; a mirror may follow.
    find_archive = "for word; do case $word in *.tar) archive=$word;; esac; done"
    return write_program(
        folder / "bin" / "mmdebstrap",
        f"{archive}{find_archive}\necho 'I: unpacking...'\ntar -C '{root}' -cf \"$archive\" .",
    )
