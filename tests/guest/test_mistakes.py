# SPDX-License-Identifier: Apache-2.0
"""What two real kernels say about typical mistakes, and whether it is explained; and that they accept the starters.

``python -m tests.guest.test_mistakes`` writes what they say into ``tests/data/mistakes/said`` for the fast tests.
"""

from __future__ import annotations

import base64
import tempfile
import zlib
from pathlib import Path

import pytest

from lab.engine.vm.engine import VmEngine
from lab.job.protocol import Algorithm
from tests.guest.own_guest import run_script
from tests.mistakes import COMPILER, FOLDER, STARTERS, Mistake, check_said, compiled, mistakes, put_captured

pytestmark = [pytest.mark.vm, pytest.mark.nightly]

KERNELS = ("debian-13", "debian-12", "debian-13-backports")
LOADED = {name: one for name, one in mistakes().items() if one.who not in COMPILER}
STARTER_NAMES = [path.name.removesuffix(".bpf.c") for path in STARTERS]


def said_by(kernel: str, directory: Path) -> dict[str, str]:
    """Return what is said about each file that clang accepts, and about each starter; empty if it was registered."""
    asked = {}
    for path in [*(FOLDER / one.file for one in LOADED.values()), *STARTERS]:
        output = directory / "object"
        done = compiled(path, output)
        assert done.returncode == 0, done.stderr
        name = path.name.removesuffix(".bpf.c")
        data = base64.b64encode(zlib.compress(output.read_bytes())).decode()
        asked[name] = Algorithm(name=_declared(path), source_sha256="", object=data)
    engine = VmEngine([kernel])
    engine.locate(print)
    script = Path(__file__).parent / "scripts" / "mistakes.py"
    said: dict[str, str] = run_script(engine, script, directory, asked, kernel=kernel)
    return said


def _declared(path: Path) -> str:
    return path.read_text().rpartition('LAB_CC("')[2].partition('"')[0]


@pytest.fixture(scope="module", params=KERNELS)
def said(lab_cache: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, str]:
    """What one of the kernels says; one boot for all files."""
    return said_by(request.param, tmp_path_factory.mktemp("mistakes"))


@pytest.mark.parametrize("mistake", LOADED.values(), ids=lambda one: one.name)
def test_what_the_kernel_says_is_explained(
    said: dict[str, str], mistake: Mistake, request: pytest.FixtureRequest
) -> None:
    check_said(request.node.callspec.params["said"], mistake, said[mistake.name])


@pytest.mark.parametrize("name", STARTER_NAMES)
def test_starters_are_registered(said: dict[str, str], name: str) -> None:
    assert said[name] == ""


def main() -> None:
    """Capture what the kernels say."""
    for kernel in KERNELS:
        with tempfile.TemporaryDirectory() as directory:
            said = said_by(kernel, Path(directory))
        put_captured(kernel, {name: said[name] for name in LOADED})
        print(f"{kernel}: {len(LOADED)} files, of which {sum(map(bool, said.values()))} were refused")


if __name__ == "__main__":
    main()
