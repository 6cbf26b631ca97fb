# SPDX-License-Identifier: Apache-2.0
"""The commands of a nightly job, carried out by a user without rights in a root of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.store import places
from tests.conftest import FAST, lab_command
from tests.workflows import commands_of, parsed

pytestmark = [pytest.mark.vm, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]
NOBODY = 65534

EXPERIMENT = """\
name: tiny
engine: uml
topology:
  kind: dumbbell
  bottleneck: {rate: 10mbit, delay: 10ms}
flows:
  bulk: {from: s1, to: d1}
duration: 2s
matrix:
  flows.bulk.cc: [cubic, bbr]
expect:
  - goodput(cc=cubic) >= 0.9 * link.rate
  - goodput(cc=bbr) >= 2 * link.rate
"""

FRESH_ROOT = """\
set -e
root=$1; workspace=$2; shift 2
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
for folder in usr etc dev proc sys; do mkdir "$folder"; mount --rbind "/$folder" "$folder"; done
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
mkdir -m 1777 tmp; mkdir -m 755 home opt
if [ -d /opt ]; then mount --rbind /opt opt; fi
mkdir home/runner
mount --bind "$workspace" home/runner
chroot . setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs env -C /home/runner -i \
  HOME=/home/runner PATH=/usr/bin:/bin "$@"
"""
"""Make a root of system folders alone, and run a command there as a user without rights."""


@pytest.fixture
def workspace(engines: Callable[[str], VmEngine | UmlEngine], tmp_path: Path) -> Path:
    """What a runner has after the checkout, and after the cache has been restored."""
    engines(FAST)
    folder = tmp_path / "workspace"
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "tiny.yaml").write_text(EXPERIMENT)
    subprocess.run([str(lab_command()), "init-ci", "github", "--shares", "2"], cwd=folder, check=True)
    for part in ("emulators", "images", "recipes", "uml-kernels"):
        # Links to the cache would lead out of the root.
        shutil.copytree((places.cache_root() / part).resolve(), folder / ".lab-cache" / part, symlinks=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "wheels", ROOT],
        check=True,
    )
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return folder


def runner(workspace: Path, root: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a function that carries out a command of the workflow."""
    environment = {
        "LAB_CACHE": ".lab-cache",
        "GITHUB_OUTPUT": "/home/runner/output",
        "GITHUB_STEP_SUMMARY": "/home/runner/summary.md",
        "PIP_FIND_LINKS": "/home/runner/wheels",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    given = [f"{name}={value}" for name, value in environment.items()]

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", FRESH_ROOT, "sh", root, workspace, *given, "sh", "-e", "-c", command],
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip

    return run


@pytest.mark.skipif(os.geteuid() != 0, reason="making a root of its own requires root")
def test_the_commands_of_a_nightly_job(workspace: Path, tmp_path: Path) -> None:
    (root := tmp_path / "root").mkdir()
    run = runner(workspace, root)
    assert run("id -u; touch /usr/mine || ls /home").stdout.split() == [str(NOBODY), "runner"]
    commands = commands_of(parsed(workspace / ".github/workflows/lab-nightly.yml"), "github")
    # All jobs share one workspace here, and its packages are those of this machine.
    needed = list(dict.fromkeys(command for command in commands if not command.startswith("apt-get ")))
    ends: dict[str, Any] = {}
    for command in needed:
        shares = ("1/2", "2/2") if "matrix.share" in command else ("",)
        for share in shares:
            done = run(command.replace("${{ matrix.share }}", share))
            ends[command.replace("${{ matrix.share }}", share)] = done
            if ".venv/bin/pytest" not in command and "lab site" not in command:
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    (tested,) = (done for command, done in ends.items() if ".venv/bin/pytest" in command)
    assert tested.returncode == 1, tested.stdout + tested.stderr
    assert "1 failed, 1 passed" in tested.stdout
    (sited,) = (done for command, done in ends.items() if "lab site" in command)
    assert sited.returncode == 1, sited.stderr
    assert "1 of 1 run did not pass: tiny." in sited.stderr
    suite = ElementTree.parse(workspace / "site" / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    assert (workspace / "output").read_text().startswith("key=")
    summary = (workspace / "summary.md").read_text()
    assert "| tiny | **not met** | 1 of 2 | 2 ok |" in summary
    # The trials of both shares came from the cache.
    (provenance,) = (workspace / "results" / "tiny" / "latest").glob("provenance.json")
    assert provenance.read_text().count('"cached": true') == 2
