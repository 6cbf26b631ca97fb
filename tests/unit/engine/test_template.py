# SPDX-License-Identifier: Apache-2.0
"""Which folders count as templates.  That a real one is built again is tested in ``tests/guest/test_template.py``."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.engine.emulator.build import Emulator
from lab.engine.image.build import Image
from lab.engine.vm import template
from lab.engine.vm.template import find_template
from lab.errors import EngineError, LostVMError
from lab.store import integrity, places

EMULATOR = Emulator(digest="0" * 64, path=Path("/emulator"), version="10.0", built="", recipe="")


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "root.erofs").write_bytes(bytes(1 << 20))
    return Image(digest="0" * 64, path=folder, suite="trixie", kernel="6.12", built="", recipe="")


@pytest.fixture
def made(image: Image) -> Path:
    """The folder of a template with small files."""
    digests = template.identity(EMULATOR, image)
    folder = places.templates() / template.key_of(digests)
    folder.mkdir(parents=True)
    (folder / "ram.img").write_bytes(bytes(8192) + b"module parameter" + bytes(8192))
    (folder / "state").write_bytes(b"state")
    (folder / "info.json").write_text(json.dumps(digests))
    integrity.write_list(folder)
    return folder


def change_a_byte(folder: Path) -> None:
    found = (folder / "ram.img").stat()
    with open(folder / "ram.img", "r+b") as file:
        file.seek(8192)
        file.write(b"M")
    os.utime(folder / "ram.img", ns=(found.st_atime_ns, found.st_mtime_ns))


def describe_another(folder: Path) -> None:
    (folder / "info.json").write_text("{}")
    integrity.write_list(folder)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte": (change_a_byte, "the content of ram.img has changed"),
    "truncated": (lambda folder: os.truncate(folder / "ram.img", 8192), "ram.img has 8192 bytes instead of 16400"),
    "empty memory": (lambda folder: os.truncate(folder / "ram.img", 0), "ram.img has 0 bytes"),
    "empty state": (lambda folder: os.truncate(folder / "state", 0), "state has 0 bytes instead of 5"),
    "no memory": (lambda folder: (folder / "ram.img").unlink(), "ram.img is missing"),
    "no state": (lambda folder: (folder / "state").unlink(), "state is missing"),
    "no list": (lambda folder: (folder / "files.json").unlink(), "files.json is missing"),
    "no description": (lambda folder: (folder / "info.json").unlink(), "info.json is missing"),
    "another description": (describe_another, "info.json describes another template"),
}


def test_a_template_is_found(image: Image, made: Path) -> None:
    found = find_template(EMULATOR, image, pytest.fail)
    assert found is not None
    assert (found.path, found.ram, found.state) == (made, made / "ram.img", made / "state")
    assert find_template(replace(EMULATOR, digest="1" * 64), image, pytest.fail) is None, "that of another emulator"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_template_is_none(image: Image, made: Path, damage: str) -> None:
    work, problem = DAMAGES[damage]
    assert find_template(EMULATOR, image) is not None
    work(made)
    messages: list[str] = []
    assert find_template(EMULATOR, image, messages.append) is None
    (message,) = messages
    assert message.startswith(f"the template {made} is damaged: {problem}")
    assert "`lab verify`" in message


def test_the_log_of_a_failed_build_is_kept(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    async def build(_found: object, _image: object, partial: Path, _step: object) -> None:
        console = partial / "console.log"
        console.write_text("Kernel panic")
        raise LostVMError("the virtual machine ended", log=console)

    monkeypatch.setattr(template, "_build", build)
    with pytest.raises(EngineError) as caught:
        asyncio.run(template.build_template(EMULATOR, image, print))
    log = places.cache_root() / "template-build.log"
    assert str(caught.value) == f"the template cannot be built: the virtual machine ended (log: {log})"
    assert log.read_text() == "Kernel panic"
    assert list(places.templates().iterdir()) == []


def test_a_template_that_another_lab_builds_is_waited_for_until_an_interrupt(image: Image, made: Path) -> None:
    async def wait(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            assert (await template.build_template(EMULATOR, image, lambda _step: None)).path == made

    with places.builder_lock("template"), pytest.raises(TimeoutError):
        asyncio.run(wait(0.5))  # This ends only when no thread waits any more.
    asyncio.run(wait(60))
    # The lock is free again, for this process and for others.
    with places.builder_lock("template").acquire(timeout=10):
        pass


def test_a_saved_memory_has_the_same_bytes_but_takes_only_the_pages_that_are_used(tmp_path: Path) -> None:
    ram, page = tmp_path / "ram.img", mmap.PAGESIZE
    with ram.open("wb") as file:
        file.truncate(64 << 20)
        for start, content in ((0, b"first"), (33 * page, bytes(3 * page)), (5000 * page, b"in the middle" * page)):
            file.seek(start)
            file.write(content)
        os.fsync(file.fileno())
    before, taken = ram.read_bytes(), ram.stat().st_blocks
    template._dig_holes(ram)
    assert ram.read_bytes() == before
    assert ram.stat().st_blocks * 512 <= 15 * page
    assert ram.stat().st_blocks < taken
    assert [path.name for path in tmp_path.iterdir()] == ["ram.img"]
