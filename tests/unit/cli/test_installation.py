# SPDX-License-Identifier: Apache-2.0
"""The version, shell completion, and the Debian packages that ``lab doctor`` names and installs."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.machine import packages
from lab.version import commit, version
from tests.conftest import lab_command as installed_command
from tests.conftest import write_program
from tests.unit.cli.conftest import Lab


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_version_of_a_checkout_names_the_commit(lab_command: Lab) -> None:
    said = lab_command("--version")
    assert said.code == 0
    found = commit()
    assert said.lines == [f"lab {version()}" + (f" (commit {found})" if found else "")]


def test_the_commit_is_that_of_the_folder_itself(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    first = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    git(tmp_path, "tag", "v1.0.0")
    assert commit(tmp_path) == first
    (tmp_path / "file").write_text("2")
    assert commit(tmp_path) == f"{first}-dirty"
    # A package that is installed somewhere inside of another project's checkout does not have that project's commit.
    (tmp_path / "site-packages").mkdir()
    assert commit(tmp_path / "site-packages") is None


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("lab ver", ["verify"]),
        ("lab run x.yaml --engine u", ["uml"]),
        ("lab run x.yaml --confirm ", ["vm"]),
        ("lab bundle build --kernel uml", ["uml-7.3"]),
        ("lab export x --format ", ["tcpprobe", "pcap", "flent", "csv"]),
        ("lab doctor --f", ["--fix"]),
    ],
)
def test_a_shell_completes(words: str, expected: list[str]) -> None:
    asked = {"_LAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [str(installed_command())], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, expected, "")


def test_the_completion_script_is_printed() -> None:
    # The shell that calls the command is asked about; the second command keeps bash from replacing itself.
    script = f"{shlex.quote(str(installed_command()))} --show-completion; exit $?"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    checked = subprocess.run(["bash", "-n"], input=done.stdout, text=True, capture_output=True, check=False)
    assert "complete -o default -F" in done.stdout
    assert checked.returncode == 0, checked.stderr


def packages_of_setup(*arguments: str) -> list[str]:
    """Return the Debian packages that ``scripts/setup.sh`` would install if none were there."""
    root = Path(__file__).parents[3]
    lines = (root / "scripts" / "setup.sh").read_text().splitlines()
    start = lines.index("PACKAGES=")
    script = "\n".join([*lines[start : start + 4], "echo $PACKAGES $TEST_PACKAGES"])
    command = ["sh", "-euc", script, "setup.sh", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()


def test_setup_installs_the_packages_that_doctor_knows() -> None:
    names = [package.name for package in packages.packages()]
    assert packages_of_setup() == names
    assert len(names) == len(set(names)) > 10
    assert {package.purpose for package in packages.packages()} == {"virtual", "native", "own"}


def test_setup_for_tests_installs_what_only_tests_use_as_well() -> None:
    assert packages_of_setup("bundle") == []
    assert packages_of_setup("tests") == [*packages_of_setup(), "chromium", "weasyprint"]
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    (recipe,) = re.findall(r"^test: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe.startswith("\t@scripts/setup.sh tests\n\t.venv/bin/pytest ")


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("sh", True),
        ("nosuchprogram", False),
        (sys.executable, True),
        ("/nowhere/file", False),
        ("python:json", True),
        ("python:nosuchmodule", False),
    ],
)
def test_what_shows_that_a_package_is_installed(sign: str, expected: bool) -> None:
    assert packages.Package("a", sign, "virtual").is_installed() is expected


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which QEMU is missing; its apt writes its arguments to a file, whose path is returned."""
    called = tmp_path / "called"
    program = f'echo "$@" >>{called}; echo from apt; echo "$DEBIAN_FRONTEND" >>{called}; exit ${{APT_STATUS:-0}}'
    write_program(tmp_path / "bin" / "apt-get", program)
    (tmp_path / "bin" / "env").symlink_to("/usr/bin/env")
    write_program(tmp_path / "bin" / "sudo", 'exec "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    return called


def test_doctor_names_what_is_missing(bare: Path, lab_command: Lab) -> None:
    said = lab_command("doctor")
    assert said.code == 3
    (line,) = (line for line in said.lines if "for trials in virtual time, missing:" in line)
    assert line.startswith("  --  ")
    assert "mmdebstrap" in line.split()
    assert not bare.exists()


def test_doctor_installs_what_is_missing(bare: Path, lab_command: Lab) -> None:
    said = lab_command("doctor", "--fix", "--yes")
    update, frontend, install, _frontend = bare.read_text().splitlines()
    assert (update, frontend) == ("update -q", "noninteractive")
    assert install.startswith("install -y -q --no-install-recommends ")
    assert {"mmdebstrap", "uidmap"} <= set(install.split())
    assert "apt-get install -y" in said.err
    assert said.code == 3  # This apt has installed nothing.


def test_doctor_does_not_install_without_being_told(bare: Path, lab_command: Lab) -> None:
    said = lab_command("doctor", "--yes")
    assert (said.code, bare.exists()) == (2, False)
    done = subprocess.run(
        [str(installed_command()), "doctor", "--fix"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, bare.exists()) == (2, False)
    assert "add --yes" in done.stderr


@pytest.mark.parametrize(("answer", "installs"), [(b"n\n", False), (b"y\n", True)])
def test_doctor_asks(answer: bytes, installs: bool, bare: Path) -> None:
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [str(installed_command()), "doctor", "--fix"],
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(terminal, answer)
        _out, errors = process.communicate(timeout=60)
    os.close(terminal)
    os.close(end)
    assert "run these commands?" in errors
    assert bare.exists() is installs
    assert ("nothing was installed" in errors) is not installs


def test_a_failing_apt_is_an_error(bare: Path, lab_command: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APT_STATUS", "100")
    said = lab_command("doctor", "--fix", "--yes")
    assert said.code == 3
    assert "apt-get update -q` failed (exit status 100)" in said.err


def test_without_apt_the_packages_are_named(lab_command: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = lab_command("doctor", "--fix", "--yes")
    assert said.code == 3
    assert "neither Debian nor Ubuntu; install yourself: " in said.err
    assert "mmdebstrap" in said.err
