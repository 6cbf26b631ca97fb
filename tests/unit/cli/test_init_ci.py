# SPDX-License-Identifier: Apache-2.0
"""``lab init-ci``: the files are valid for the services, and do what was asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.version import version
from lab.workflows.write import PLACES, badge
from tests.unit.cli.conftest import Lab
from tests.workflows import commands_of, parsed

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


def written(lab_command: Lab, service: str, *options: str) -> Path:
    Path("experiments").mkdir(exist_ok=True)
    said = lab_command("init-ci", service, *options)
    assert said.code == 0, said.err
    assert len(said.lines) == 1
    return Path(said.lines[0])


@pytest.mark.parametrize("options", [(), ("--pages",), ("--shares", "1")])
@pytest.mark.parametrize("service", SCHEMAS)
def test_the_file_is_valid_for_its_service(lab_command: Lab, service: str, options: tuple[str, ...]) -> None:
    path = written(lab_command, service, *options)
    assert path == Path(PLACES[service])
    assert "@" not in path.read_text().replace("actions/", "").replace("@v", "")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[service], str(path)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # The check finds what is wrong.
    path.write_text(path.read_text().replace("stages: [", "stages: [[").replace("runs-on: ubuntu-latest", "runs: 5"))
    assert subprocess.run(check, capture_output=True, check=False).returncode == 1


def test_the_jobs_depend_on_each_other(lab_command: Lab) -> None:
    jobs: dict[str, Any] = parsed(written(lab_command, "github", "--shares", "3", "--pages"))["jobs"]
    assert jobs["trials"]["needs"] == "build"
    assert jobs["trials"]["strategy"]["matrix"]["share"] == ["1/3", "2/3", "3/3"]
    assert jobs["report"]["needs"] == ["build", "trials"]
    assert jobs["pages"]["needs"] == "report"
    other = parsed(written(lab_command, "gitlab", "--shares", "3"))
    assert other["trials"]["parallel"] == 3
    assert other["stages"].index("trials") < other["stages"].index("report")
    assert "pages" not in other


@pytest.mark.parametrize("service", SCHEMAS)
def test_both_services_run_the_same_commands(lab_command: Lab, service: str) -> None:
    found = commands_of(parsed(written(lab_command, service)), service)
    assert any(f"pip install tcp-lab=={version()} pytest pytest-xdist" in command for command in found)
    wanted = (
        ".venv/bin/lab prepare experiments",
        ".venv/bin/lab prepare --share ",
        ".venv/bin/pytest experiments --lab-output=results --junitxml=junit.xml",
        '.venv/bin/lab site results/*/latest -o site --title "Nightly experiments" --also junit.xml',
    )
    for start in wanted:
        assert any(command.startswith(start) for command in found), (start, found)


@pytest.mark.parametrize("service", [*SCHEMAS, "classroom"])
def test_what_own_algorithms_need_is_installed(lab_command: Lab, service: str) -> None:
    Path("assignment.yaml").touch()
    text = written(lab_command, service).read_text()
    assert {"clang", "bubblewrap", "mmdebstrap"} <= set(text.split())


@pytest.mark.parametrize("service", SCHEMAS)
def test_lab_may_come_from_elsewhere(lab_command: Lab, service: str) -> None:
    where = "git+https://example.org/somebody/lab@v1.0#egg"
    path = written(lab_command, service, "--install", where.partition("#")[0])
    assert any(f"pip install {where.partition('#')[0]} pytest" in one for one in commands_of(parsed(path), service))
    for wrong in (where, "tcp-lab; rm -rf /", "--index-url=http://example.org", ""):
        said = lab_command("init-ci", service, "--install", wrong, "-o", "other.yml")
        assert (said.code, Path("other.yml").exists()) == (2, False)
        assert "--install: found" in said.err


def test_a_folder_with_a_blank(lab_command: Lab) -> None:
    Path("my experiments").mkdir()
    text = written(lab_command, "github", "--experiments", "my experiments/").read_text()
    assert ".venv/bin/lab prepare 'my experiments'\n" in text


def test_what_cannot_be_written(lab_command: Lab) -> None:
    said = lab_command("init-ci", "gitlab")
    assert (said.code, "--experiments: found 'experiments'; expected a folder" in said.err) == (2, True)
    Path("experiments").mkdir()
    said = lab_command("init-ci", "jenkins")
    assert (said.code, "found the service 'jenkins'; expected github, gitlab or classroom" in said.err) == (2, True)
    Path(".gitlab-ci.yml").write_text("mine: {}\n")
    said = lab_command("init-ci", "gitlab")
    assert (said.code, "already exists and was not changed" in said.err) == (2, True)
    assert Path(".gitlab-ci.yml").read_text() == "mine: {}\n"
    assert lab_command("init-ci", "gitlab", "-o", "ci/lab.yml").lines == ["ci/lab.yml"]
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "remote",
    [
        "git@example.org:group/name.git",
        "https://example.org/group/name",
        "https://me:secret@example.org/group/name.git",
    ],
)
def test_the_badge_shows_the_job_of_this_repository(lab_command: Lab, remote: str) -> None:
    assert badge("gitlab", remote) == (
        "[![pipeline](https://example.org/group/name/badges/HEAD/pipeline.svg)]"
        "(https://example.org/group/name/-/pipelines)"
    )
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "remote", "add", "origin", remote], check=True)
    Path("experiments").mkdir()
    said = lab_command("init-ci", "github")
    job = "https://example.org/group/name/actions/workflows/lab-nightly.yml"
    assert f"a badge for the README: [![lab nightly]({job}/badge.svg)]({job})" in said.err
    assert "secret" not in said.err


def test_no_badge_without_a_repository() -> None:
    assert badge("github", "") is None
    assert badge("github", "/srv/git/name.git") is None
