# SPDX-License-Identifier: Apache-2.0
"""Build ns-3 from the source package of this Linux distribution, as its developers recommend for long simulations.

The build has the profile "optimized": ``-O3 -march=native``, without assertions and log statements.  No binary package
of ns-3 is built like this.  It takes some four minutes on two processors, once, and needs apt, cmake, make and g++.
Nothing outside lab's cache is changed, and root is not needed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from benchmarks.ns3.program import MODULES, SCENARIO, InstallError, Ns3, Step, execute, folder

PACKAGE = "ns3"
_ORIGINS = ("Debian", "Ubuntu")
_TARGET_FORMAT = "$(ORIGIN) deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)"
# ``ns3 configure --build-profile=optimized`` sets the first four.  The rest leaves out what the scenario does not need.
_OPTIONS = {
    "CMAKE_BUILD_TYPE": "release",
    "NS3_NATIVE_OPTIMIZATIONS": "ON",
    "NS3_ASSERT": "OFF",
    "NS3_LOG": "OFF",
    "NS3_WARNINGS_AS_ERRORS": "OFF",
    "NS3_PYTHON_BINDINGS": "OFF",
    "NS3_EXAMPLES": "OFF",
    "NS3_TESTS": "OFF",
    "NS3_PRECOMPILE_HEADERS": "OFF",
    "NS3_ENABLED_MODULES": ";".join(MODULES),
}


def install_from_source(step: Step) -> Ns3:
    """Return the scenario, compiled with an optimised build of ns-3, which is made if it is not in the cache.

    Raises:
        InstallError: The source is not to be had here, or cannot be compiled.
    """
    root = folder("source")
    source = root / "source"
    if not source.exists():
        step(f"downloading the source package {PACKAGE} (40 MB)")
        _unpack(_download(root), root / "unfinished", source)
    shutil.copyfile(SCENARIO, source / "scratch" / SCENARIO.name)
    build, output = root / "build", root / "output"
    if not (build / "Makefile").exists():
        options = [f"-D{name}={value}" for name, value in _OPTIONS.items()]
        execute(["cmake", "-S", str(source), "-B", str(build), *options, f"-DNS3_OUTPUT_DIRECTORY={output}"], root)
    step("compiling an optimised build of ns-3 (some minutes for the first time)")
    target = f"scratch_{SCENARIO.stem}"
    execute(["cmake", "--build", str(build), "--target", target, "--parallel", str(os.cpu_count() or 1)], root)
    programs = list((output / "scratch").glob(f"*-{SCENARIO.stem}-optimized"))
    if len(programs) != 1:
        raise InstallError(f"the build in {build} has not made one program, but {len(programs)}")
    version = (source / "VERSION").read_text(encoding="utf-8").strip()
    return Ns3("ns-3", version, "optimised build from source: -O3 -march=native, no assertions, no logs", programs[0])


def _download(root: Path) -> Path:
    """Download the original source of the package and return its archive."""
    apt = root / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    sources = apt / "sources.list"
    sources.write_text("".join(f"{line}\n" for line in _source_lines(root)), encoding="utf-8")
    command = [
        *("apt-get", "-q", "-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null"),
        *("-o", f"Dir::State::Lists={apt / 'lists'}", "-o", f"Dir::State::Status={apt / 'status'}"),
        # Downloads by root would otherwise be made by a user who cannot enter the cache.
        *("-o", f"Dir::Cache={apt / 'cache'}", "-o", "APT::Sandbox::User=root"),
    ]
    execute([*command, "update"], root)
    execute([*command, "source", "--download-only", PACKAGE], root)
    archives = sorted(root.glob(f"{PACKAGE}_*.orig.tar.*"))
    if not archives:
        raise InstallError(f"the source package {PACKAGE} has no original source")
    return archives[-1]


def _source_lines(root: Path) -> list[str]:
    """Return lines for apt's list of sources: those of this distribution, with sources instead of binary packages."""
    listed = execute(["apt-get", "indextargets", "--format", _TARGET_FORMAT, "Created-By: Packages"], root)
    found = [line.partition(" ") for line in sorted(set(listed.splitlines()))]
    lines = [line for origin, _space, line in found if origin in _ORIGINS]
    if not lines:
        raise InstallError("apt knows no packages of Debian or Ubuntu; 'apt-get update' may help")
    return lines


def _unpack(archive: Path, unfinished: Path, source: Path) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    execute(["tar", "-xf", str(archive), "-C", str(unfinished)], unfinished)
    # The archive holds other programs beside ns-3.
    found = [path.parent for path in unfinished.glob("**/VERSION") if re.fullmatch(r"ns-3\.[0-9.]+", path.parent.name)]
    if len(found) != 1:
        raise InstallError(f"{archive} has not one folder of ns-3, but {len(found)}")
    found[0].rename(source)
    shutil.rmtree(unfinished)
