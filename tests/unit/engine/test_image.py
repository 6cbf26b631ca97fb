# SPDX-License-Identifier: Apache-2.0
"""Check which folders count as guest images, and how an image is built (without a network)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import Timeout

from lab.engine.debian.builds import DamagedBuildError
from lab.engine.emulator.build import find_emulator
from lab.engine.image import build
from lab.engine.image.known import read_known
from lab.engine.vm.engine import VmEngine
from lab.errors import ImageError, StoreError
from lab.store import places
from lab.store.folders import publish, unfinished_folder
from tests.conftest import write_bootstrap, write_program
from tests.emulators import write_emulator
from tests.packages import write_package


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("LAB_CACHE", str(root))
    return root


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an ``mmdebstrap`` that needs no network first in PATH."""
    program = write_bootstrap(tmp_path)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    write_emulator()
    return program


def ignore(_what: str) -> None: ...


def test_an_empty_cache_has_no_image() -> None:
    assert build.find_image() is None
    assert build.list_images() == ([], [])


def test_an_image_is_its_content(builder: Path, tmp_path: Path, own_cache: Path) -> None:
    steps: list[str] = []
    image = build.build_image(steps.append)
    assert "unpacking" in steps
    assert build.find_image() == image
    assert build.list_images() == ([image], [])
    assert image.path == own_cache / "images" / image.digest
    assert image.kernel == "6.12.0-test"
    assert sorted(path.name for path in image.path.iterdir()) == [
        "boot.cpio", "files.json", "info.json", "known.json", "packages", "root.erofs", "vmlinuz",
    ]  # fmt: skip
    assert image.root_file.stat().st_size % build.ROOT_ALIGNMENT == 0
    assert not list((own_cache / "images").glob(".tmp-*"))

    assert build.build_image(ignore).digest == image.digest, "the same packages, but other bytes"
    write_bootstrap(tmp_path, note="(a newer one)")
    newer = build.build_image(ignore)
    assert newer.digest != image.digest
    assert build.find_image() == newer
    assert {found.digest for found in build.list_images()[0]} == {image.digest, newer.digest}


def test_an_image_from_before_gets_the_files_that_it_lacks(builder: Path) -> None:
    image = build.build_image(ignore)
    for name in ("known.json", "files.json"):
        (image.path / name).unlink()
    assert build.find_image() == image
    assert build.build_image(ignore).digest == image.digest
    assert read_known(image.path) is not None


@pytest.mark.parametrize("program", ["mmdebstrap", "tar", "mkfs.erofs"])
def test_a_tool_that_fails_leaves_no_image(
    builder: Path, own_cache: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = "echo 'E: something is wrong'; exit 7"
    if program == "mkfs.erofs":
        write_emulator(mkfs=fails)
    else:
        write_program(builder.with_name(program), fails)
    if program == "tar":
        write_program(builder, builder.read_text().replace("tar -C", "exit 0 #"))
    with pytest.raises(
        ImageError, match=rf"{program} failed \(exit status 7\); E: something is wrong \(log: .*\.log\)"
    ):
        build.build_image(ignore)
    assert any("something is wrong" in log.read_text() for log in own_cache.glob("*.log"))
    assert build.find_image() is None
    assert list((own_cache / "images").iterdir()) == []


def test_an_interrupt_ends_the_builder(builder: Path, own_cache: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    write_program(builder, f"echo $$ >{pid}; echo 'I: waiting...'; exec sleep 600")

    def interrupt(_what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.build_image(interrupt, kernel="deb-1", package=write_package(tmp_path / "own.deb"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert list((own_cache / "images").iterdir()) == []


def without_emulator(builder: Path, for_image: str, for_emulator: str) -> None:
    """Empty the cache, and let the ``mmdebstrap`` of each of the two begin with a script of its own."""
    shutil.rmtree(places.cache_root())
    both = f'case "$*" in *customize.sh*) {for_image};; *"copy-out /emulator"*) {for_emulator};; esac'
    write_program(builder, builder.read_text().replace("#!/bin/sh", both, 1))


def test_qemu_is_built_at_the_same_time(builder: Path, tmp_path: Path) -> None:
    def meet(own: str, other: str) -> str:
        wait = f"for _ in $(seq 100); do [ -e {tmp_path}/{other} ] && break; sleep 0.1; done"
        return f"touch {tmp_path}/{own}; {wait}; [ -e {tmp_path}/{other} ] || exit 7"

    without_emulator(builder, meet("image", "emulator"), meet("emulator", "image"))
    build.build_image(ignore)
    assert find_emulator() is not None


@pytest.mark.parametrize("failing", ["image", "emulator"])
def test_if_one_of_the_two_fails_nothing_is_left(builder: Path, tmp_path: Path, failing: str) -> None:
    pid = tmp_path / "pid"
    # The other one has begun before.
    fails = f"while ! [ -e {pid} ]; do sleep 0.05; done; echo 'E: something is wrong'; exit 7"
    goes_on = f"echo $$ >{pid}.new; mv {pid}.new {pid}"
    if failing == "image":
        without_emulator(builder, fails, f"{goes_on}; exec sleep 600")
    else:
        without_emulator(builder, goes_on, fails)
    with pytest.raises(ImageError, match="something is wrong"):
        build.build_image(ignore)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert list(places.images().iterdir()) == list(places.emulators().iterdir()) == []


@pytest.mark.parametrize("lock", ["first-emulator", "emulator"])
def test_if_the_image_fails_another_labs_build_of_qemu_is_not_waited_for(
    builder: Path, tmp_path: Path, lock: str
) -> None:
    without_emulator(builder, "echo 'E: something is wrong'; exit 7", "exit 0")
    held = tmp_path / "held"
    hold = f"""
import pathlib, time
from lab.store import places
with places.builder_lock({lock!r}):
    pathlib.Path({str(held)!r}).touch()
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", hold]) as other:
        try:
            while not held.exists():
                time.sleep(0.05)
            began = time.monotonic()
            with pytest.raises(ImageError, match="something is wrong"):
                build.build_image(ignore)
            assert time.monotonic() - began < 60
        finally:
            other.kill()


@pytest.mark.parametrize("tool", ["mmdebstrap", "tar"])
def test_a_missing_tool_is_named(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in {"mmdebstrap", "tar"} - {tool}:
        write_program(tmp_path / "bin" / other, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ImageError, match=rf"this machine lacks {tool}, .*`lab doctor --fix` installs it"):
        build.build_image(ignore)


def test_a_half_built_image_is_no_image() -> None:
    with unfinished_folder(places.images()) as partial:
        (partial / "info.json").write_text("{}")
        (places.images() / ("0" * 64)).mkdir()  # This folder is unfinished: it has no info.json, which is written last.
        assert build.list_images() == ([], [])
        assert build.open_image("0" * 64) is None


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ("{", "info.json is not JSON"),
        ("{}", r"info.json has the fields \(none\); expected built, kernel, kernel_name, recipe, suite"),
        ("[]", r"info.json has \[\]; expected built"),
        ('{"built": 1, "kernel": "", "kernel_name": "", "recipe": "", "suite": ""}', "has built: 1; expected a string"),
        ('{"built": "", "kernel": "", "kernel_name": "", "recipe": "", "suite": "", "x": ""}', "has the fields"),
    ],
)
def test_a_damaged_description_says_what_is_wrong(info: str, problem: str) -> None:
    folder = places.images() / ("0" * 64)
    folder.mkdir(parents=True)
    (folder / "info.json").write_text(info)
    with pytest.raises(DamagedBuildError, match=rf"{folder} is damaged: .*{problem}"):
        build.open_image("0" * 64)
    images, (error,) = build.list_images()
    assert images == []
    assert error.path == folder


def damage_info(image: build.Image) -> None:
    (image.path / "info.json").write_text("{}")


def damage_a_byte(image: build.Image) -> None:
    with open(image.root_file, "r+b") as file:
        file.seek(1 << 20)
        byte = file.read(1)[0]
        file.seek(1 << 20)
        file.write(bytes([byte ^ 1]))


def damage_the_length(image: build.Image) -> None:
    os.truncate(image.boot_archive, 100)


def damage_the_list(image: build.Image) -> None:
    (image.path / "files.json").write_text('{"vmlinuz": {}}')


def remove_the_kernel(image: build.Image) -> None:
    image.kernel_file.unlink()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damage_info, r"info.json has the fields \(none\)"),
        (damage_a_byte, "the content of root.erofs has changed"),
        (damage_the_length, "boot.cpio has 100 bytes instead of"),
        (damage_the_list, "files.json is damaged: the entry of 'vmlinuz' is not a size and a digest"),
        (remove_the_kernel, "vmlinuz is missing"),
    ],
)
def test_a_damaged_image_is_built_again(builder: Path, damage: Callable[[build.Image], None], problem: str) -> None:
    image = build.build_image(ignore)
    contents = {path.name: path.read_bytes() for path in image.path.iterdir()}
    damage(image)
    with pytest.raises(DamagedBuildError, match=problem):
        build.find_image()
    steps: list[str] = []
    engine = VmEngine()
    engine.locate(steps.append)
    assert re.search(rf"guest image: .* is damaged: .*{problem}.*; it is built again", steps[0])
    assert engine.machine()[1] == build.find_image()
    now = {path.name: path.read_bytes() for path in image.path.iterdir()}
    assert now.keys() == contents.keys()
    assert all(now[name] == contents[name] for name in image.contents)


def test_an_image_of_an_earlier_version_has_no_list_of_files(builder: Path) -> None:
    image = build.build_image(ignore)
    (image.path / "files.json").unlink()
    assert build.find_image() == image
    assert (image.path / "files.json").exists()
    (image.path / "files.json").unlink()
    damage_a_byte(image)
    with pytest.raises(DamagedBuildError, match="the digest of its content is not its name"):
        build.find_image()


@pytest.mark.parametrize("text", ["", "../../etc", "\xff", "0" * 63])
def test_a_damaged_note_about_the_last_image_is_none(text: str) -> None:
    places.recipes().mkdir(parents=True)
    (places.recipes() / build.recipe_digest()).write_text(text, encoding="latin-1")
    assert build.find_image() is None


def test_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.recipe_digest()
    assert build.recipe_digest() == before
    monkeypatch.setattr(build, "PACKAGES", (*build.PACKAGES, "tcpdump"))
    assert build.recipe_digest() != before


def test_what_is_published_first_stays() -> None:
    final = places.images() / "digest"
    for content in ("first", "second"):
        with unfinished_folder(places.images()) as partial:
            (partial / "file").write_text(content)
            publish(partial, final, if_there="keep")
        assert not partial.exists()
    assert (final / "file").read_text() == "first"


def test_one_builder_at_a_time() -> None:
    with places.builder_lock("image"), pytest.raises(Timeout):
        places.builder_lock("image").acquire(timeout=0)
    with places.builder_lock("image"), places.builder_lock("template").acquire(timeout=0):
        pass


def test_a_killed_builder_holds_nobody_up() -> None:
    code = (
        "from lab.store import places; lock = places.builder_lock('image'); lock.acquire(); "
        "print('locked', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(Timeout):
            places.builder_lock("image").acquire(timeout=0)
        process.send_signal(signal.SIGKILL)
    with places.builder_lock("image").acquire(timeout=5):
        pass


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        StoreError, match=r"cannot write the cache .*: Not a directory; set LAB_CACHE to another folder"
    ):
        places.builder_lock("image")


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_CACHE", "here")
    assert places.cache_root() == tmp_path / "here"
    monkeypatch.delenv("LAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert places.cache_root() == tmp_path / "xdg" / "lab"


def test_hooks_can_be_read_by_another_user(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The cache is in the home folder, which only its owner can enter.
    write_emulator()
    own_cache.chmod(0o700)
    seen = tmp_path / "seen"
    script = f"""for word; do
	case $word in --customize-hook=*)
		eval set -- ${{word#*=}}
		find "$(dirname "$1")" -printf '%m %p\\n' >'{seen}' ;;
	esac
done
exit 1"""
    monkeypatch.setenv("PATH", f"{write_program(tmp_path / 'bin' / 'mmdebstrap', script).parent}:{os.environ['PATH']}")
    package = write_package(tmp_path / "own.deb")
    package.chmod(0o600)
    before = os.umask(0o077)
    try:
        with pytest.raises(ImageError, match="mmdebstrap failed"):
            build.build_image(ignore, kernel="deb-1", package=package)
    finally:
        os.umask(before)
    modes = {path: mode for mode, _, path in (line.partition(" ") for line in seen.read_text().splitlines())}
    assert {Path(path).name for path in modes} >= {"customize.sh", "0.deb", "python", "image", "package.py"}
    for path, mode in modes.items():
        assert mode == ("644" if Path(path).suffix in (".py", ".deb", ".awk") else "755"), path
        assert not Path(path).exists()
