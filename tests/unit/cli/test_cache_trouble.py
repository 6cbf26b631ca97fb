# SPDX-License-Identifier: Apache-2.0
"""A cache that is full, read-only or no folder at all costs neither the run nor its report, and is named once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.engine.base import Engine
from lab.store.integrity import forget_checks, problem_in, write_list
from tests.data.capture import EXPERIMENTS
from tests.unit.cli.conftest import Lab

UDP = EXPERIMENTS / "udp.yaml"

Mount = Callable[[Path, str], None]


@pytest.fixture
def drawn_before(tmp_path: Path) -> Path:
    """The folder of figures in the cache of the test, which shares none with other tests."""
    return tmp_path / "cache" / "figures"


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts a file system in memory with the given options, or mounts it again with others."""
    mounted: list[Path] = []

    def mount(place: Path, options: str) -> None:
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "lab-test", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode != 0 and not mounted:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        done.check_returncode()
        mounted.append(place)

    yield mount
    for place in dict.fromkeys(mounted):
        subprocess.run(["umount", str(place)], timeout=10, check=True)


def warnings_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if "warning: the cache" in line]


def check_run(lab_command: Lab, cache: Path, reason: str) -> None:
    said = lab_command("run", UDP, "--jobs", "1")
    assert said.code == 0, said.err
    assert (Path(said.lines[-1]) / "report" / "index.html").is_file()
    trials, figures = warnings_of(said.err)
    assert trials.endswith(
        f"warning: the cache {cache}/trials does not work: the records of finished trials cannot be kept there: "
        f"{reason}; the run goes on without it"
    )
    assert figures == (
        f"lab: warning: the cache {cache}/figures does not work: the figures cannot be kept there for the next report: "
        f"{reason}; the report is complete"
    )


@pytest.mark.parametrize(
    ("options", "reason"), [("size=32k", "No space left on device"), ("ro", "Read-only file system")]
)
def test_a_cache_that_is_full_or_read_only(
    engines: list[Engine], lab_command: Lab, mount: Mount, tmp_path: Path, options: str, reason: str
) -> None:
    cache = tmp_path / "cache"
    mount(cache, options)
    check_run(lab_command, cache, reason)
    if options == "size=32k":
        assert not [path for path in cache.rglob("*") if path.is_file()], "nothing is left that fills the cache"


def test_caches_that_are_no_folders(engines: list[Engine], lab_command: Lab, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for name in ("trials", "figures"):
        (tmp_path / "cache" / name).touch()
    said = lab_command("run", UDP)
    assert said.code == 0, said.err
    assert [line.count(f"{tmp_path}/cache/") for line in warnings_of(said.err)] == [1, 1]
    assert (Path(said.lines[-1]) / "report" / "index.html").is_file()


def test_a_cache_that_becomes_read_only_still_gives_what_it_has(
    engines: list[Engine], lab_command: Lab, mount: Mount, tmp_path: Path
) -> None:
    mount(tmp_path / "cache", "size=50m")
    first = lab_command("run", UDP)
    mount(tmp_path / "cache", "remount,ro")
    again = lab_command("run", UDP)
    assert (first.code, again.code) == (0, 0)
    assert again.err.count(": from the cache") == 4
    assert warnings_of(first.err + again.err) == []


def test_contents_are_read_again_even_if_the_notes_of_earlier_checks_cannot_be_removed(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("LAB_CACHE", str(cache))
    mount(cache, "size=1m")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a").write_bytes(b"content")
    write_list(tmp_path / "made")
    mount(cache, "remount,ro")
    reads: list[str] = []

    def noting(path: Path) -> str:
        reads.append(path.name)
        return "another digest"

    monkeypatch.setattr("lab.store.integrity.sha256_of", noting)
    assert problem_in(tmp_path / "made", ["a"]) is None
    assert reads == []
    forget_checks()
    assert problem_in(tmp_path / "made", ["a"]) is not None
    assert reads == ["a"]
