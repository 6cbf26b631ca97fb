# SPDX-License-Identifier: Apache-2.0
"""The package that users install: what is in it, and that it runs trials far from the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import lab_command

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"


def build(target: str, source: Path, output: Path) -> Path:
    """Build the ``sdist`` or ``wheel`` of the project in *source* and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(output)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = output.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / NAME


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def in_repository(*folders: str) -> dict[str, bytes]:
    """Return the files of the repository below *folders*, new ones included if git does not ignore them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name: (ROOT / name).read_bytes() for name in names if name and (ROOT / name).is_file()}


def test_the_wheel_has_the_files_of_the_repository_and_no_others(wheel: Path) -> None:
    package = {name: content for name, content in contents(wheel).items() if ".dist-info/" not in name}
    programs = {f"lab/{name}": content for name, content in in_repository("bpf").items()}
    assert len(programs) > 30
    assert package == {**in_repository("lab"), **programs}
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in package)


def test_a_wheel_from_the_sdist_is_the_same(wheel: Path, unpacked: Path, tmp_path: Path) -> None:
    again = build("wheel", unpacked, tmp_path)
    assert contents(again) == contents(wheel)
    assert again.read_bytes() == wheel.read_bytes()


def test_the_licences_are_in_the_wheel(wheel: Path) -> None:
    found = contents(wheel)
    metadata = found[f"{NAME}.dist-info/METADATA"].decode()
    assert "\nLicense-Expression: Apache-2.0 AND GPL-2.0-only AND MIT\n" in metadata
    listed = re.findall(r"^License-File: (.+)$", metadata, re.MULTILINE)
    assert sorted(listed) == ["LICENSE", "LICENSES/GPL-2.0-only.txt", "LICENSES/MIT.txt"]
    for name in listed:
        assert found[f"{NAME}.dist-info/licenses/{name}"] == (ROOT / name).read_bytes()
    text = b"\n".join(content for name, content in found.items() if name.startswith("lab/"))
    named = set(re.findall(rb"SPDX-License-Identifier: ([\w.-]+(?: OR [\w.-]+)?)", text))
    assert named == {b"Apache-2.0", b"GPL-2.0", b"GPL-2.0 OR Apache-2.0"}


def test_the_version_is_the_same_everywhere() -> None:
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation is not None
    assert citation[1] == PROJECT["version"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the repository, with a version that has never been released."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    rewrite(folder / "pyproject.toml", r'^version = ".*"$', 'version = "99.1.2"')
    rewrite(folder / "CITATION.cff", r"^version: .*$", "version: 99.1.2")
    return folder


def rewrite(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, path
    path.write_text(text)


def refusal(clone: Path) -> str:
    """Return the message with which ``make release`` refuses to release what is in *clone*."""
    done = subprocess.run([str(ROOT / "scripts/release.sh"), str(clone)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert not (clone / "dist").exists()
    return done.stderr


def test_a_release_needs_a_version_everywhere_and_everything_committed(clone: Path) -> None:
    assert "CHANGELOG.md: expected a heading '## [99.1.2] - YYYY-MM-DD'" in refusal(clone)
    rewrite(clone / "CHANGELOG.md", r"^## \[", "## [99.1.2] - 2030-01-31\n\n## [")
    assert "changes that are not committed" in refusal(clone)
    rewrite(clone / "CITATION.cff", r"^version: .*$", "version: 99.1.1")
    assert "CITATION.cff: expected the line 'version: 99.1.2'" in refusal(clone)
    rewrite(clone / "pyproject.toml", r'^version = ".*"$', 'version = "next"')
    assert "found the version 'next'" in refusal(clone)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A virtual environment in which pip has installed the wheel, at night with the newest of all that it depends on.

    By day, the packages that it depends on are those of this environment.
    """
    place = tmp_path_factory.mktemp("installed") / "venv"
    # This environment's pip installs into the new one, which saves the time to install pip there.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "--disable-pip-version-check"]
    others = [] if pytestconfig.getoption("nightly") else ["--no-deps"]
    if others:
        (of_new,) = place.glob("lib/python3*/site-packages")
        (of_this,) = Path(sys.prefix).glob("lib/python3*/site-packages")
        # The checkout, which is installed for editing, is not found here: only that folder's own .pth file names it.
        (of_new / "others.pth").write_text(f"{of_this}\n")
    done = subprocess.run(
        [*pip, "install", "-q", "--no-compile", *others, str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return place


@pytest.mark.vm
@pytest.mark.nightly
def test_the_installed_package_runs_trials_far_from_the_checkout(
    installed: Path, lab_cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "my experiments"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(command: str, *arguments: str) -> str:
        done = subprocess.run(
            [command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    lab = str(installed / "bin" / "lab")
    assert run(lab, "--version") == f"lab {PROJECT['version']}\n"
    where = run(str(installed / "bin" / "python"), "-c", "import lab.job.bpf_sources as m; print(m.BPF_SOURCES)")
    assert Path(where.strip()).is_relative_to(installed)
    run(lab, "new", "mine.yaml")
    short = ["--set", "duration=2s", "--set", "repeat=1", "--set", "matrix={}", "--set", "measure=null"]
    result = run(lab, "run", "mine.yaml", "--engine", "uml", "--quiet", *short)
    finished = folder / result.strip()
    about = json.loads((finished / "provenance.json").read_text())
    assert (about["status"], about["engine"], about["lab_version"]) == ("complete", "uml", PROJECT["version"])
    assert list((finished / "report" / "figures").glob("*.svg"))
    assert (finished / "report" / "index.html").read_text().startswith("<!doctype html>")
    # The checkout's code reproduces what the installed package recorded, to the byte.
    again = run(str(lab_command()), "verify", str(folder / "results" / "mine" / "latest"))
    assert again.splitlines()[-1] == "1/1 byte-identical"


ONE = """\
name: one
topology:
  kind: single-link
  link: {rate: 4mbit, delay: 5ms}
flows:
  bulk: {from: s1, to: d1}
duration: 2s
expect:
  - goodput >= 0.8 * link.rate
  - goodput >= 2 * link.rate
"""


@pytest.mark.vm
def test_pytest_checks_what_an_experiment_expects_far_from_the_checkout(
    installed: Path, lab_cache: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    python = str(installed / "bin" / "python")
    if pytestconfig.getoption("nightly"):
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-q", "pytest"], check=True, capture_output=True)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "one.yaml").write_text(ONE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    command = [python, "-m", "pytest", "experiments", "--lab-engine", "uml", "--junitxml=junit.xml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "  not met: found 3.8" in done.stdout
    assert f"report: {tmp_path}/results/one/" in done.stdout
    assert 'name="lab_verdict" value="met"' in (tmp_path / "junit.xml").read_text()
