# SPDX-License-Identifier: Apache-2.0
"""Bundles: which ones are used, how they get to other machines, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest

from lab.bundle.archive import unpack, write_archive
from lab.bundle.build import build_bundle
from lab.bundle.parts import default_bundle, known_bundles
from lab.bundle.transfer import FILE
from lab.engine.base import Engine, Step
from lab.engine.bundles import Bundle, digest_of, note_use, prune
from lab.engine.emulator import build as emulator_build
from lab.engine.emulator.build import Emulator
from lab.engine.image.build import find_image
from lab.engine.replay import ReplayEngine
from lab.errors import LabError
from lab.store import places
from lab.store.folders import bytes_on_disk
from lab.testing.runs import Options, Runs
from tests.conftest import write_bootstrap
from tests.data.capture import EXPERIMENTS
from tests.emulators import write_emulator
from tests.unit.cli.conftest import Lab


@pytest.fixture
def build(lab_command: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Bundle]:
    """A function that builds a bundle whose image contains a text, in the cache of this test."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    # The small images have no modules, so that checks would find no algorithm in them.
    monkeypatch.setattr("lab.api.known.read_known", lambda _folder: None)

    def built(text: str, *, qemu: str = "exit 0") -> Bundle:
        def emulator(_progress: object, *, mirror: str | None = None) -> Emulator:
            assert mirror is None
            return write_emulator(qemu=qemu)

        monkeypatch.setattr("lab.bundle.build.build_emulator", emulator)
        write_bootstrap(tmp_path, note=text)
        return build_bundle(lambda _step: None)

    return built


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """A function that lets another machine's empty cache be the current one, and returns its path."""

    def change() -> Path:
        monkeypatch.setenv("LAB_CACHE", str(tmp_path / "elsewhere"))
        return tmp_path / "elsewhere"

    return change


@pytest.fixture
def exported(build: Callable[[str], Bundle], lab_command: Lab, tmp_path: Path) -> Path:
    """A file with a bundle."""
    bundle = build("first")
    said = lab_command("bundle", "export", tmp_path / "one.tar.zst")
    assert said.lines == [f"{bundle.digest}  debian-13"]
    return tmp_path / "one.tar.zst"


def in_cache(root: Path) -> dict[str, bytes]:
    """Return the builds in a cache with their content, without the notes of when they were built and used."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for kind in ("emulators", "images")
        for path in (root / kind).rglob("*")
        if path.is_file()
    }


def test_an_empty_cache(lab_command: Lab) -> None:
    said = lab_command("bundle", "list")
    assert (said.code, said.out) == (0, "")
    said = lab_command("bundle", "info")
    assert (said.code, said.out) == (3, "")
    assert "there is no bundle with debian-13 yet; `lab bundle build --kernel debian-13` builds it" in said.err
    said = lab_command("bundle", "rm", "abc")
    assert said.code == 2
    assert "found 0 bundles whose digest begins with 'abc'; expected one of: none" in said.err


# --- which ones are used --------------------------------------------------------------------------------------


def test_the_digest_follows_from_the_parts() -> None:
    parts = {"emulator": "1" * 64, "image": "2" * 64}
    assert digest_of(parts) == digest_of(dict(reversed(parts.items())))
    others = [{**parts, "image": "3" * 64}, {**parts, "emulator": "3" * 64}]
    assert len({digest_of(parts), *map(digest_of, others)}) == 3


def test_a_new_bundle_is_used_from_now_on_and_an_old_one_on_request(
    build: Callable[[str], Bundle], lab_command: Lab
) -> None:
    first, second = build("first"), build("second")
    assert first.digest != second.digest
    assert lab_command("bundle", "list").lines[0][:18] in {f"* {second.digest[:16]}", f"  {first.digest[:16]}"}
    assert [line[:18] for line in lab_command("bundle", "list").lines if line[0] == "*"] == [f"* {second.digest[:16]}"]
    assert default_bundle("debian-13") == second
    said = lab_command("bundle", "use", first.digest[:9])
    assert said.lines == [f"experiments with kernel: debian-13 use the bundle {first.digest} now"]
    found = find_image()
    assert found is not None
    assert found.digest == first.parts["image"]


def test_what_is_in_a_bundle(build: Callable[[str], Bundle], lab_command: Lab) -> None:
    bundle = build("first")
    lines = lab_command("bundle", "info").lines
    assert lines[:2] == [f"digest  {bundle.digest}", "kernel  debian-13"]
    assert {f"{kind}  {digest}" for kind, digest in bundle.parts.items()} <= set(lines)
    assert "  linux-image 6.12 first" in lines


def test_a_bundle_is_removed_without_what_others_need(build: Callable[[str], Bundle], lab_command: Lab) -> None:
    first, second = build("first"), build("second")
    assert first.parts["emulator"] == second.parts["emulator"]
    said = lab_command("bundle", "rm", first.digest)
    assert said.lines == [f"removed the bundle {first.digest}", f"removed {places.images() / first.parts['image']}"]
    assert [bundle.digest for bundle in known_bundles()] == [second.digest]
    assert not second.missing()
    assert len(lab_command("bundle", "rm", second.digest).lines) == 3
    assert lab_command("bundle", "list").lines == []


def test_bundles_that_were_used_longest_ago_go_first(build: Callable[[str], Bundle]) -> None:
    made = [build(str(number)) for number in range(4)]
    for number, bundle in enumerate(made):
        os.utime(bundle.record, (number, number))
    note_use(made[0])
    size = sum(bytes_on_disk(path) for path in {path for bundle in made for path in bundle.paths().values()})
    assert prune(set(), size) == []
    assert prune({made[2].parts["image"]}, size - 1) == [places.images() / made[1].parts["image"]]
    assert {bundle.digest for bundle in known_bundles()} == {bundle.digest for bundle in made} - {made[1].digest}


def test_parts_of_no_bundle_go_first_but_not_at_once(build: Callable[[str], Bundle]) -> None:
    first, second = build("first"), build("second")
    first.record.unlink()
    orphan = places.images() / first.parts["image"]
    assert orphan not in prune(set(second.parts.values()), 0)
    os.utime(orphan, (0, 0))
    assert prune(set(second.parts.values()), 0) == [orphan]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0" * 9, "found 0 bundles"),
        ("", "found 1 bundles whose digest begins with ''"),
        ("nothing.tar.zst", "found 0 bundles|no such file"),
    ],
)
def test_a_bundle_that_is_not_there(build: Callable[[str], Bundle], lab_command: Lab, name: str, message: str) -> None:
    build("first")
    run = ("run", EXPERIMENTS / "udp.yaml", "--bundle", name)
    for command in (("bundle", "rm", name), ("bundle", "use", name), run):
        said = lab_command(*command)
        assert (said.code, said.out) == (2, "")
        assert re.search(message, said.err), said.err


# --- runs -----------------------------------------------------------------------------------------------------


def test_a_run_notes_its_bundles_and_verify_uses_them(
    engines: list[Engine], build: Callable[[str], Bundle], lab_command: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = build("first"), build("second")
    used: list[str | None] = []

    locate = ReplayEngine.locate

    def located(self: ReplayEngine, step: Step) -> None:
        image = find_image()
        used.append(None if image is None else image.digest)
        locate(self, step)

    monkeypatch.setattr(ReplayEngine, "locate", located)
    monkeypatch.setattr(ReplayEngine, "bundles", lambda _self: {"debian-13": first})
    said = lab_command("run", EXPERIMENTS / "udp.yaml", "--bundle", first.digest)
    folder = Path(said.lines[-1])
    stored = json.loads((folder / "provenance.json").read_bytes())
    assert stored["bundles"] == {"debian-13": dict(first.parts)}
    assert lab_command("verify", folder).code == 0
    assert used == [first.parts["image"]] * 2
    lab_command("bundle", "rm", first.digest)
    said = lab_command("verify", folder)
    assert f"the bundle {first.digest[:16]} with debian-13, with which the run was made, is not in" in said.err
    assert "`lab bundle import FILE`" in said.err
    assert used[2:] == [second.parts["image"]]


def test_a_chosen_bundle_is_not_replaced_by_another_one(
    build: Callable[[str], Bundle], engines: list[Engine], lab_command: Lab
) -> None:
    first = build("first")
    build("second")
    (first.paths()["image"] / "vmlinuz").write_text("other")
    said = lab_command("run", EXPERIMENTS / "udp.yaml", "--bundle", first.digest)
    assert said.code == 3
    assert "vmlinuz" in said.err


def test_a_bundle_of_another_kernel(build: Callable[[str], Bundle], engines: list[Engine], lab_command: Lab) -> None:
    bundle = build("first")
    said = lab_command("run", EXPERIMENTS / "udp.yaml", "--bundle", bundle.digest, "--set", "kernel=debian-12")
    assert (said.code, said.out) == (2, "")
    assert "found bundles with debian-13; the experiment runs on debian-12" in said.err


def test_a_machine_that_cannot_build(lab_command: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for arguments in ((), ("--kernel", "uml-7.3")):
        said = lab_command("bundle", "build", "-q", *arguments)
        assert (said.code, said.out) == (3, "")
        assert re.fullmatch(r"lab: this machine lacks mmdebstrap.*`lab bundle import FILE` here.*\n", said.err)


def test_a_machine_with_another_processor(lab_command: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    said = lab_command("bundle", "build", "-q")
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("lab: this machine is aarch64, and lab's QEMU is for x86_64")


# --- files ----------------------------------------------------------------------------------------------------


def test_a_bundle_gets_to_another_machine(exported: Path, lab_command: Lab, elsewhere: Callable[[], Path]) -> None:
    here, bundle = in_cache(places.cache_root()), default_bundle("debian-13")
    assert bundle is not None
    other = elsewhere()
    said = lab_command("bundle", "import", exported, "--digest", bundle.digest[:20])
    assert said.lines == [f"{bundle.digest}  debian-13"]
    assert in_cache(other) == here
    assert os.access(bundle.paths()["emulator"] / emulator_build.QEMU, os.X_OK)
    assert default_bundle("debian-13") == bundle
    assert find_image() is not None
    # Twice is harmless, and repairs what is damaged.
    (bundle.paths()["image"] / "vmlinuz").write_text("other")
    assert lab_command("bundle", "import", exported).lines == said.lines
    assert in_cache(other) == here


def test_equal_bundles_are_equal_files(exported: Path, lab_command: Lab, elsewhere: Callable[[], Path]) -> None:
    elsewhere()
    lab_command("bundle", "import", exported)
    again = exported.with_name("again") / "one.tar.zst"
    lab_command("bundle", "export", again)
    assert again.read_bytes() == exported.read_bytes()


def test_what_is_used_stays_when_another_bundle_is_imported(
    exported: Path, build: Callable[[str], Bundle], lab_command: Lab, elsewhere: Callable[[], Path]
) -> None:
    elsewhere()
    own = build("own")
    said = lab_command("bundle", "import", exported)
    assert "experiments with kernel: debian-13 go on with the bundle that they have" in said.err
    assert default_bundle("debian-13") == own
    assert len(lab_command("bundle", "list").lines) == 2


def test_several_bundles_in_one_file(
    build: Callable[[str], Bundle], lab_command: Lab, elsewhere: Callable[[], Path], tmp_path: Path
) -> None:
    first, second = build("first"), build("second")
    chosen = [word for bundle in (first, second, first) for word in ("--bundle", bundle.digest)]
    lab_command("bundle", "export", tmp_path / "two.tar.zst", *chosen)
    (tmp_path / "again").mkdir()
    lab_command("bundle", "export", tmp_path / "again" / "two.tar.zst", *chosen[2:])
    assert (tmp_path / "again" / "two.tar.zst").read_bytes() == (tmp_path / "two.tar.zst").read_bytes()
    elsewhere()
    said = lab_command("bundle", "import", tmp_path / "two.tar.zst")
    assert sorted(said.lines) == sorted(f"{bundle.digest}  debian-13" for bundle in (first, second))


@pytest.fixture
def server(exported: Path) -> Iterator[str]:
    """The address of a server on the loopback interface that has the file."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(exported.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/one.tar.zst"
        running.shutdown()
        thread.join()


def test_a_bundle_comes_from_the_web(server: str, lab_command: Lab, elsewhere: Callable[[], Path]) -> None:
    other = elsewhere()
    said = lab_command("bundle", "import", server + "x")
    assert (said.code, said.out) == (3, "")
    assert "404" in said.err
    assert in_cache(other) == {}
    assert lab_command("bundle", "import", server).code == 0
    assert len(in_cache(other)) > 8


def test_a_session_of_pytest_imports_a_file_once(
    exported: Path, elsewhere: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere()
    asked: list[list[str]] = []

    def run(_path: Path, *, bundle: list[str], **_others: object) -> None:
        asked.append(bundle)
        exported.unlink(missing_ok=True)
        raise LabError("this run ends here")

    monkeypatch.setattr("lab.testing.runs.run", run)
    options = Options(None, [str(exported)], tmp_path / "results", {}, jobs=1, cache=True)
    session = uuid.uuid4().hex
    workers = [Runs(options, session), Runs(options, session)]
    try:
        for worker, name in zip(workers, ("one.yaml", "other.yaml"), strict=True):
            with pytest.raises(LabError, match="this run ends here"):
                worker.loaded(tmp_path / name, {}, None)
    finally:
        workers[0].forget()
    (bundle,) = known_bundles()
    assert asked == [[bundle.digest]] * 2


def repacked(packed: Path, change: Callable[[Path], None]) -> Path:
    """Return an archive with changed files and digests that fit them."""
    folder = packed.parent / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    top = unpack(packed, folder)
    (top / "SHA256SUMS").unlink()
    change(top)
    files = {str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file()}
    write_archive(packed.with_name("two.tar.zst"), dict(files))
    return packed.with_name("two.tar.zst")


def part_in(top: Path, kind: str) -> Path:
    (found,) = (top / kind).iterdir()
    return found


Change = Callable[[Path], None]


def rewritten(**fields: object) -> Change:
    """Return a function that changes fields of the archive's description."""

    def change(top: Path) -> None:
        (top / FILE).write_text(json.dumps({**json.loads((top / FILE).read_bytes()), **fields}))

    return change


def written(kind: str, name: str, text: str) -> Change:
    """Return a function that writes a file of the part of this kind, or of a folder beside the parts."""

    def change(top: Path) -> None:
        path = (part_in(top, kind) if (top / kind).exists() else top / kind) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return change


def described(**fields: str) -> Change:
    """Return a function that changes fields of the description of the image."""

    def change(top: Path) -> None:
        info = part_in(top, "image") / "info.json"
        info.write_text(json.dumps({**json.loads(info.read_bytes()), **fields}))

    return change


def of(**parts: str) -> Change:
    return rewritten(bundles=[{"kernel": "debian-13", "parts": parts}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (written("image", "vmlinuz", "other"), "has another digest"),
        (written("emulator", "more.so", "x"), "has another digest"),
        (written("emulator", "info.json", "{}"), "info.json has the fields"),
        (described(built="yesterday"), "expected a date"),
        (described(suite="\x1b[2J"), "texts that cannot be printed"),
        (written("more", "file", "x"), "more/file is of no bundle"),
        (written("image", "folder/file", "x"), "only files"),
        (lambda top: (part_in(top, "emulator") / "info.json").unlink(), "has no description"),
        (lambda top: shutil.rmtree(part_in(top, "image")), "image/.* is missing"),
        (lambda top: (top / FILE).unlink(), "not a file of bundles"),
        (rewritten(format=2), "another version of lab"),
        (rewritten(bundles=[]), "expected one at least"),
        (rewritten(bundles=5), "not a file of bundles"),
        (of(image="../../x"), "expected an image"),
        (rewritten(bundles=[{"kernel": "\x1b[2J", "parts": {}}]), "expected a kernel's name"),
        (of(image="../x", emulator="0" * 64), "64 hexadecimal digits"),
    ],
)
def test_a_file_that_does_not_contain_what_it_says(
    exported: Path, lab_command: Lab, elsewhere: Callable[[], Path], change: Change, message: str
) -> None:
    changed = repacked(exported, change)
    other = elsewhere()
    said = lab_command("bundle", "import", changed)
    assert (said.code, said.out) == (2, "")
    assert re.search(message, said.err), said.err
    assert in_cache(other) == {}
    assert not [path for path in (other / "bundles").iterdir() if path.is_dir()]


def test_a_file_with_another_bundle_than_expected(
    exported: Path, lab_command: Lab, elsewhere: Callable[[], Path]
) -> None:
    other = elsewhere()
    said = lab_command("bundle", "import", exported, "--digest", "0" * 64)
    assert (said.code, said.out) == (2, "")
    assert "expected 0000" in said.err
    assert in_cache(other) == {}


def test_links_and_devices_are_refused(lab_command: Lab, elsewhere: Callable[[], Path], tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.CHRTYPE):
        hostile = tmp_path / "hostile.tar.zst"
        with pa.output_stream(str(hostile), compression="zstd") as out, tarfile.open(fileobj=out, mode="w|") as archive:
            member = tarfile.TarInfo("hostile/image")
            member.type, member.linkname = kind, "/etc"
            archive.addfile(member)
        other = elsewhere()
        said = lab_command("bundle", "import", hostile)
        assert (said.code, said.out) == (2, "")
        assert in_cache(other) == {}


# --- damage ---------------------------------------------------------------------------------------------------


def test_a_damaged_bundle_is_listed_and_can_be_removed(build: Callable[[str], Bundle], lab_command: Lab) -> None:
    bundle = build("first")
    (bundle.paths()["image"] / "info.json").write_text("{}")
    (line,) = lab_command("bundle", "list").lines
    assert line.startswith(f"! {bundle.digest[:16]}  debian-13  damaged: ")
    said = lab_command("bundle", "info")
    assert said.code == 3
    assert "info.json has the fields (none)" in said.err
    assert lab_command("bundle", "export", "x.tar.zst").code == 3
    assert lab_command("bundle", "rm", bundle.digest).code == 0
    assert lab_command("bundle", "list").lines == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--snapshot", "yesterday"], "expected a time in the form 20261101T000000Z"),
        (["--snapshot", "20261101T000000Z"], "@SNAPSHOTID@"),
        (["--kernel", "windows"], "--kernel: found 'windows'"),
    ],
)
def test_what_cannot_be_built(lab_command: Lab, arguments: list[str], message: str) -> None:
    said = lab_command("bundle", "build", *arguments)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
