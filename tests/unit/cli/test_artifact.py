# SPDX-License-Identifier: Apache-2.0
"""Artifacts: what is inside, that equal runs give equal bytes, that they reproduce, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from lab.artifact.builds import use_builds
from lab.artifact.document import FILE, ArtifactDocument, read_document
from lab.bundle.archive import SUMS, unpack, write_archive
from lab.engine.base import Engine
from lab.engine.image.build import build_image, find_image
from lab.engine.uml.build import find_kernel
from lab.errors import InputError, StoreError
from lab.store import places
from tests.conftest import write_bootstrap
from tests.data.capture import EXPERIMENTS
from tests.emulators import write_emulator
from tests.unit.cli.conftest import Changing, Lab


@pytest.fixture
def run(engines: list[Engine], lab_command: Lab) -> Path:
    """The folder of a finished run of four trials."""
    return Path(lab_command("run", EXPERIMENTS / "udp.yaml").lines[-1])


@pytest.fixture
def packed(run: Path, lab_command: Lab, tmp_path: Path) -> Path:
    """The artifact of that run."""
    said = lab_command("artifact", run, "-o", tmp_path / "one.tar.zst", "--author", "Ada: Lovelace", "--title", 'A "T"')
    assert (said.code, said.lines[-1]) == (0, str(tmp_path / "one.tar.zst"))
    assert "not inside: QEMU, the guest images" in said.err
    return tmp_path / "one.tar.zst"


def members(path: Path) -> dict[str, bytes]:
    with pa.input_stream(str(path), compression="zstd") as source, tarfile.open(fileobj=source, mode="r|") as archive:
        return {
            member.name: content.read() for member in archive if (content := archive.extractfile(member)) is not None
        }


def test_an_artifact_has_everything_and_says_so(packed: Path, run: Path) -> None:
    found = members(packed)
    place = f"one/runs/udp/{run.name}"
    assert {f"one/{name}" for name in ("README.md", "LICENSE", "CITATION.cff", FILE, SUMS)} < found.keys()
    inside = {name.removeprefix(f"{place}/") for name in found if name.startswith(place)}
    assert inside == {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    document = json.loads(found[f"one/{FILE}"])
    (of_run,) = document["runs"]
    assert of_run["trials"].keys() == {path.name for path in (run / "trials").iterdir()}
    readme = found["one/README.md"].decode()
    assert f"lab reproduce one.tar.zst --run udp/{run.name}" in readme
    assert of_run["results_digest"] in readme
    assert all(claim in readme for claim in of_run["claims"])
    citation = YAML(typ="safe").load(found["one/CITATION.cff"])
    assert (citation["title"], citation["authors"]) == ('A "T"', [{"name": "Ada: Lovelace"}])
    assert b"pyarrow==" in found["one/environment/python.txt"]
    assert "Apache License" in found["one/LICENSE"].decode()


def test_equal_runs_give_equal_bytes_and_other_tools_read_them(packed: Path, run: Path, lab_command: Lab) -> None:
    first = packed.read_bytes()
    options = ("--author", "Ada: Lovelace", "--title", 'A "T"')
    lab_command("artifact", run, "-o", packed, *options)
    assert packed.read_bytes() == first
    folder = packed.parent / "by-tar"
    folder.mkdir()
    with pa.input_stream(str(packed), compression="zstd") as source:
        subprocess.run(["tar", "-xf", "-", "-C", str(folder)], input=source.read(), check=True)
    checked = subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=folder / "one", check=False)
    assert checked.returncode == 0


def test_an_artifact_is_reproduced(packed: Path, run: Path, lab_command: Lab) -> None:
    said = lab_command("reproduce", packed)
    assert (said.code, said.lines[:2]) == (0, [f"udp/{run.name}:", "4/4 byte-identical"])
    claims = len(json.loads((run / "report" / "answer.json").read_text())["sentences"])
    figures = len(list((run / "report" / "figures").iterdir()))
    assert claims
    assert (
        said.lines[2]
        == f"{claims}/{claims} claims follow from the trials; {figures}/{figures} files of figures are the same"
    )
    assert [path.name for path in Path("reproduced", "one").iterdir()] == ["one"], "nothing else is left there"
    said = lab_command("reproduce", packed)
    assert (said.code, "exists already" in said.err) == (2, True)
    said = lab_command("reproduce", packed, "-o", "again", "--trials", "2", "--run", f"udp/{run.name}")
    assert (said.code, said.lines[1]) == (0, "2/2 byte-identical")
    said = lab_command("reproduce", packed, "-o", "third", "--run", "udp/other")
    assert (said.code, f"expected one of udp/{run.name}" in said.err) == (2, True)


def test_what_comes_out_differently_is_told(packed: Path, engines: list[Engine], lab_command: Lab) -> None:
    def change(directory: Path) -> None:
        (directory / "log.txt").write_text("another")

    engines[:] = [Changing(change)]
    said = lab_command("reproduce", packed)
    assert (said.code, said.lines[-2]) == (1, "0/4 byte-identical")
    assert any("log.txt" in line for line in said.lines)


def repacked(packed: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return an artifact whose document has been changed, with digests that fit."""
    found = {name.removeprefix("one/"): content for name, content in members(packed).items()}
    document = json.loads(found[FILE])
    change(document)
    found[FILE] = json.dumps(document).encode()
    del found[SUMS]
    write_archive(packed.with_name("two.tar.zst"), dict(found))
    return packed.with_name("two.tar.zst")


def test_trials_of_the_native_engine_do_not_run_whatever_the_artifact_claims(
    packed: Path, run: Path, lab_command: Lab, engines: list[Engine]
) -> None:
    """They would run on this host, as root."""

    def refuse(directory: Path) -> None:
        raise AssertionError("a trial ran")

    engines[:] = [Changing(refuse)]
    found = {name.removeprefix("one/"): content for name, content in members(packed).items()}
    place = f"runs/udp/{run.name}/provenance.json"
    found[place] = json.dumps({**json.loads(found[place]), "engine": "native"}).encode()
    del found[SUMS]
    write_archive(packed.with_name("two.tar.zst"), dict(found))
    said = lab_command("reproduce", packed.with_name("two.tar.zst"))
    assert (said.code, said.out) == (1, "")
    assert "made in real time" in said.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"results_digest": "0" * 64}, "the digests in artifact.json are not those of the run's trials"),
        ({"claims": ["All is well."]}, "the claims are not those that follow from the run's trials"),
    ],
)
def test_what_is_claimed_has_to_follow(packed: Path, lab_command: Lab, change: dict[str, Any], message: str) -> None:
    said = lab_command("reproduce", repacked(packed, lambda document: document["runs"][0].update(change)))
    assert said.code == 1
    assert said.lines[1:3] == ["4/4 byte-identical", message]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(format=3), "found format 3"),
        (lambda document: document["runs"][0].update(experiment="../.."), "cannot be used as a file name"),
        (lambda document: document.update(images=["../../x"]), "cannot be used as a file name"),
        (lambda document: document.pop("runs"), "is damaged"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(
    packed: Path, lab_command: Lab, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    said = lab_command("reproduce", repacked(packed, change))
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert not list(Path("reproduced").iterdir()), "what is refused leaves nothing"


def test_runs_that_cannot_be_packed(run: Path, lab_command: Lab, tmp_path: Path) -> None:
    assert "found the same run twice" in lab_command("artifact", run, run, "-o", "a.tar.zst").err
    assert "ends with .tar.zst" in lab_command("artifact", run, "-o", "a.zip").err
    assert "cannot be read" in lab_command("artifact", run, "-o", "a.tar.zst", "--license", "nothing").err
    (run / "trials" / "link").symlink_to("/etc")
    said = lab_command("artifact", run, "-o", "a.tar.zst")
    assert (said.code, "is neither a regular file nor a folder" in said.err) == (3, True)
    (run / "trials" / "link").unlink()
    (run / "report" / "answer.json").unlink()
    assert "has no report" in lab_command("artifact", run, "-o", "a.tar.zst").err
    assert not (tmp_path / "a.tar.zst").exists()


# --- hostile archives ----------------------------------------------------------------------------------------

Member = tuple[str, bytes, bytes | str]


def hostile(
    path: Path, given: list[Member], *, sums: Mapping[str, bytes] | None = None, size: int | None = None
) -> Path:
    """Write an archive with these members (name, type, content or target), and a list of digests that fits."""
    out = io.BytesIO()
    files = {name.removeprefix("a/"): content for name, _kind, content in given if isinstance(content, bytes)}
    listed = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in (files if sums is None else sums).items()
    )
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, content in [*given, (f"a/{SUMS}", tarfile.REGTYPE, listed.encode())]:
            member = tarfile.TarInfo(name)
            member.type = kind
            if isinstance(content, str):
                member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    data = out.getvalue()
    with pa.output_stream(str(path), compression="zstd") as file:
        file.write(data if size is None else data[:size])
    return path


FINE: Member = ("a/file", tarfile.REGTYPE, b"content")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([FINE, ("a/../../b", tarfile.REGTYPE, b"x")], "leads out of the archive"),
        ([FINE, ("/etc/b", tarfile.REGTYPE, b"x")], "absolute path"),
        ([FINE, ("b/file", tarfile.REGTYPE, b"x")], "not in the archive's top folder"),
        ([("a", tarfile.REGTYPE, b"x")], "neither a regular file nor a folder"),
        ([FINE, ("a/link", tarfile.SYMTYPE, "/etc")], "neither a regular file nor a folder"),
        ([FINE, ("a/link", tarfile.LNKTYPE, "a/file")], "neither a regular file nor a folder"),
        ([FINE, ("a/device", tarfile.CHRTYPE, b"")], "neither a regular file nor a folder"),
        ([FINE, FINE], "there twice"),
        ([FINE, ("a/file/below", tarfile.REGTYPE, b"x")], "both a file and a folder"),
        ([FINE, ("a/new\nline", tarfile.REGTYPE, b"x")], "not a name that lab gives"),
        ([FINE, ("a/.tmp-1/x", tarfile.REGTYPE, b"x")], "not a name that lab gives"),
        ([("a/large", tarfile.REGTYPE, bytes(2_000_000))], "or 1000000 bytes"),
    ],
)
def test_members_that_are_not_accepted(tmp_path: Path, given: list[Member], message: str) -> None:
    folder = tmp_path / "inside" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        unpack(hostile(tmp_path / "a.tar.zst", given), folder, 1_000_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.zst", "inside"]
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_files_and_digests_have_to_fit(tmp_path: Path) -> None:
    sums = {"file": b"other"}
    for number, (listed, message) in enumerate(
        ((sums, "does not have the digest"), ({}, "is not listed"), ({"file": b"content", "b": b""}, "is missing"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InputError, match=message):
            unpack(hostile(tmp_path / "a.tar.zst", [FINE], sums=listed), folder)


def test_what_is_no_archive(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "text.tar.zst").write_text("text")
    whole = hostile(tmp_path / "whole.tar.zst", [FINE])
    (tmp_path / "half.tar.zst").write_bytes(whole.read_bytes()[:-20])
    hostile(tmp_path / "short.tar.zst", [("a/file", tarfile.REGTYPE, bytes(5000))], size=1500)
    hostile(tmp_path / "empty.tar.zst", [], size=0)
    for name in ("text", "half", "short", "empty", "missing"):
        with pytest.raises(InputError, match=name):
            unpack(tmp_path / f"{name}.tar.zst", folder)


def test_an_archive_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises((StoreError, OSError)):
        write_archive(tmp_path / "a.tar.zst", {"file": tmp_path / "missing"})
    assert list(tmp_path.iterdir()) == []


# --- images and kernels inside -------------------------------------------------------------------------------


@pytest.mark.vm
def test_images_are_used_from_a_cache_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("PATH", f"{write_bootstrap(tmp_path).parent}:{os.environ['PATH']}")
    write_emulator()
    image = build_image(lambda _what: None)
    top = tmp_path / "top"
    (top / "image").mkdir(parents=True)
    image.path.rename(top / "image" / image.digest)
    kernel = "0" * 64
    document: ArtifactDocument = {
        "format": 1, "title": "", "lab_version": "", "runs": [], "images": [image.digest],
        "uml_kernels": [kernel], "emulators": [],
    }  # fmt: skip
    told = use_builds(top, document, tmp_path / "cache", trust=False)
    assert places.cache_root() == tmp_path / "cache"
    found = find_image()
    assert found is not None
    assert found.digest == image.digest
    # A program of somebody else does not run unless the user says so.
    assert any("--trust-programs" in line for line in told)
    assert find_kernel("uml-7.3") is None
    root = top / "image" / image.digest / "root.erofs"
    root.write_bytes(b"other" + root.read_bytes()[5:])
    with pytest.raises(InputError, match="has another digest"):
        use_builds(top, document, tmp_path / "second", trust=False)


def test_a_document_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"artifact\.json"):
        read_document(tmp_path)
