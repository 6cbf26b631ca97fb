# SPDX-License-Identifier: Apache-2.0
"""Install ns-3 from its wheel on PyPI, and compile the scenario against the headers and libraries in it.

This needs g++ 10 or later.  The wheel contains a release build (``-O3``), but its cmake files say that assertions and
log statements are compiled in, and its libraries do call them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.ns3.program import MODULES, SCENARIO, InstallError, Ns3, Step, execute, folder

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# The wheel for any version of Python would do, since only what was compiled from C++ is used.
_ANY_PYTHON = ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--platform=manylinux_2_28_x86_64")
# They must be the ones with which the libraries were compiled, because the layout of some classes depends on them.
_MACROS = ("NDEBUG", "NS3_BUILD_PROFILE_RELEASE", "NS3_LOG_ENABLE", "NS3_ASSERT_ENABLE")


def install_wheel(step: Step) -> Ns3:
    """Return the scenario, compiled with the wheel, which is downloaded if it is not in the cache.

    Raises:
        InstallError: pip or the compiler failed.
    """
    root = folder("wheel")
    (pinned,) = (line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line.startswith("ns3=="))
    version = pinned.removeprefix("ns3==").split()[0]
    site = root / version
    if not site.exists():
        step(f"installing ns3 {version} from PyPI (70 MB)")
        _install(root / "unfinished", site)
    step("compiling the scenario with the wheel")
    package = site / "ns3"
    libraries = [next((package / "lib64").glob(f"libns3*-{module}.so"), None) for module in MODULES]
    if None in libraries:
        raise InstallError(f"the wheel in {site} lacks libraries")
    program = root / "chain"
    command = ["g++", "-O3", "-std=c++20", *(f"-D{macro}" for macro in _MACROS), f"-I{package / 'include'}"]
    command += [str(SCENARIO), "-o", str(program), *map(str, libraries), f"-Wl,-rpath,{package / 'lib64'}"]
    execute(command, root)
    return Ns3("ns-3, wheel", version, "the wheel on PyPI: release build with assertions and log statements", program)


def _install(unfinished: Path, site: Path) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    execute(
        [
            *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes", *_ANY_PYTHON),
            *("--target", str(unfinished), "--requirement", str(REQUIREMENTS)),
        ],
        unfinished.parent,
    )
    unfinished.rename(site)
