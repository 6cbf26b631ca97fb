# SPDX-License-Identifier: Apache-2.0
"""What an image takes from a package with a kernel, which may come from anywhere."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from lab.engine.image import package
from lab.engine.image.build import build_image
from lab.engine.image.package import PackageError, check_package, extract, name_and_version
from lab.errors import EXIT_BAD_INPUT, InputError
from tests.conftest import write_bootstrap
from tests.packages import KERNEL, RELEASE, Member, packed, write_package

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

MODULES = f"./lib/modules/{RELEASE}"


def files_in(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_kernel_comes_out_with_its_modules(tmp_path: Path) -> None:
    found = write_package(tmp_path / "own.deb")
    assert check_package(found) == RELEASE
    root = tmp_path / "root"
    root.mkdir()
    assert extract([found], root) == RELEASE
    assert files_in(root) == {
        f"boot/vmlinuz-{RELEASE}": b"kernel",
        f"boot/config-{RELEASE}": b"CONFIG_VETH=m\n",
        f"usr/lib/modules/{RELEASE}/kernel/fs/erofs.ko": b"erofs",
    }
    modes = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert modes == {0o644}, "the package has files with the set-user-ID bit"
    assert name_and_version(found) == "linux-image-own 6.18.0-1"


def test_newer_packages_are_split_and_have_everything_in_one_folder(tmp_path: Path) -> None:
    folder = f"./usr/lib/modules/{RELEASE}"
    first = write_package(tmp_path / "a.deb", [(f"{folder}/vmlinuz", tarfile.REGTYPE, b"kernel")])
    rest: list[Member] = [
        (f"{folder}/config", tarfile.REGTYPE, b"config"),
        (f"{folder}/System.map", tarfile.REGTYPE, b"symbols"),
        (f"{folder}/kernel/nfit.ko.xz", tarfile.REGTYPE, b"nfit"),
    ]
    second = write_package(tmp_path / "b.deb", rest)
    root = tmp_path / "root"
    assert extract([first, second], root) == RELEASE
    assert files_in(root) == {
        f"boot/vmlinuz-{RELEASE}": b"kernel",
        f"boot/config-{RELEASE}": b"config",
        f"usr/lib/modules/{RELEASE}/kernel/nfit.ko.xz": b"nfit",
    }


def test_what_else_a_package_has_is_left_out(tmp_path: Path) -> None:
    more: list[Member] = [
        ("./usr/sbin/depmod", tarfile.REGTYPE, b"#!/bin/sh\ntouch /evil\n"),
        ("./etc/kernel/postinst.d/evil", tarfile.REGTYPE, b"#!/bin/sh\n"),
        ("./usr/share/doc/linux-image-own", tarfile.SYMTYPE, "linux-doc"),
        ("./usr/lib/linux-image-own/a.dtb", tarfile.LNKTYPE, "./usr/lib/linux-image-own/b.dtb"),
        ("./boot/System.map-own", tarfile.REGTYPE, b"symbols"),
        ("./boot/vmlinuz", tarfile.SYMTYPE, f"vmlinuz-{RELEASE}"),
        (f"{MODULES}/build", tarfile.SYMTYPE, "/usr/src/linux"),
        (f"{MODULES}/vdso/.build-id/1/2", tarfile.SYMTYPE, "../../vdso64.so"),
    ]
    root = tmp_path / "root"
    extract([write_package(tmp_path / "own.deb", [*more, *KERNEL])], root)
    assert len(files_in(root)) == 3
    assert not [path for path in root.rglob("*") if path.is_symlink() or path.name == "depmod"]


LONG = "x" * 300

REFUSED: dict[str, tuple[Member, str]] = {
    "a link as /usr": (("./usr", tarfile.SYMTYPE, "/somewhere"), r"'\./usr' is a symbolic link to '/somewhere'"),
    "a link as /lib": (("./lib", tarfile.SYMTYPE, "/somewhere"), r"'\./lib' is a symbolic link"),
    "a link as /boot": (("boot", tarfile.SYMTYPE, "/somewhere"), "'boot' is a symbolic link"),
    "a link as the folder of modules": (("./usr/lib/modules", tarfile.SYMTYPE, "/x"), "is a symbolic link to '/x'"),
    "a link as the release": ((MODULES, tarfile.SYMTYPE, "/x"), "is a symbolic link to '/x'; expected a folder"),
    "a file as /usr": (("./usr", tarfile.REGTYPE, b""), r"'\./usr' is a regular file; expected a folder"),
    "a link among the modules": ((f"{MODULES}/kernel/a.ko", tarfile.SYMTYPE, "/etc/shadow"), "is a symbolic link"),
    "a link as a folder of modules": ((f"{MODULES}/kernel/fs", tarfile.SYMTYPE, "/x"), "fs' is a symbolic link"),
    "a link as a kernel": ((f"./boot/config-{RELEASE}2", tarfile.SYMTYPE, "/etc/shadow"), "is a symbolic link"),
    "a hard link": ((f"{MODULES}/a.ko", tarfile.LNKTYPE, "/etc/shadow"), "is a hard link to '/etc/shadow'"),
    "a device": (("./usr/share/disk", tarfile.BLKTYPE, b""), r"'\./usr/share/disk' is a device"),
    "a pipe": ((f"{MODULES}/a.ko", tarfile.FIFOTYPE, b""), "is a named pipe"),
    "a way out": (("./lib/../../evil", tarfile.REGTYPE, b""), r"'\./lib/\.\./\.\./evil' leads out of the archive"),
    "an absolute path": (("/etc/evil", tarfile.REGTYPE, b""), "'/etc/evil' is an absolute path"),
    "another kernel's modules": (("./lib/modules/5.4/a.ko", tarfile.REGTYPE, b""), f"another kernel than {RELEASE}"),
    "a release that is an option": (("./lib/modules/-a/a.ko", tarfile.REGTYPE, b""), "'-a' cannot be the release"),
    "another kernel": (("./boot/vmlinuz-5.4", tarfile.REGTYPE, b""), "found boot/vmlinuz-5.4, boot/vmlinuz-6.18.0-own"),
    "a file that is there twice": ((f"{MODULES}/kernel/fs/erofs.ko", tarfile.REGTYPE, b""), "is there twice"),
    "the same file below /usr": ((f"./usr/{MODULES[2:]}/kernel/fs/erofs.ko", tarfile.REGTYPE, b""), "is there twice"),
    "a file in a file": ((f"{MODULES}/kernel/fs/erofs.ko/a.ko", tarfile.REGTYPE, b""), "both a file and a folder"),
    "a line end": ((f"{MODULES}/a\nb.ko", tarfile.REGTYPE, b""), "has a space, or a character that is not ASCII"),
    "a long name": ((f"{MODULES}/{LONG}", tarfile.REGTYPE, b""), "cannot be the name of a file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_package_that_could_do_harm_is_refused(tmp_path: Path, case: str) -> None:
    member, message = REFUSED[case]
    found = write_package(tmp_path / "own.deb", [*KERNEL, member])
    with pytest.raises(PackageError, match=message) as caught:
        check_package(found)
    assert "own.deb: " in str(caught.value)
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises((PackageError, OSError)):
        extract([found], root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.deb", "root"]
    assert not [path for path in root.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MOST_MEMBERS", 3, "more than 3 members"),
        ("MOST_BYTES", 10, "are in the package"),
        ("MOST_TAKEN_BYTES", 10, "kernel and modules have more than"),
    ],
)
def test_sizes_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    monkeypatch.setattr(package, limit, value)
    with pytest.raises(PackageError, match=message):
        check_package(write_package(tmp_path / "own.deb"))


def test_a_file_may_not_claim_data_that_it_does_not_have(tmp_path: Path) -> None:
    sparse = tarfile.TarInfo(f"{MODULES}/a.ko")
    sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 0
    with pytest.raises(PackageError, match="sparse files, which is not accepted"):
        check_package(write_package(tmp_path / "own.deb", data=sparse.tobuf(tarfile.GNU_FORMAT) + packed(KERNEL)))
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    with pytest.raises(PackageError, match=f"a name has {1 << 40} bytes; expected at most 65536"):
        check_package(write_package(tmp_path / "own.deb", data=name.tobuf(tarfile.GNU_FORMAT) + packed(KERNEL)))


@pytest.mark.parametrize(
    ("members", "found"),
    [
        (KERNEL[:3], f"found boot/vmlinuz-{RELEASE} and no modules"),
        (KERNEL[3:], f"found no kernel and the modules of {RELEASE}"),
        ((), "found no kernel and no modules"),
    ],
)
def test_a_package_without_a_whole_kernel(tmp_path: Path, members: tuple[Member, ...], found: str) -> None:
    with pytest.raises(PackageError, match=rf"own\.deb: {found}; expected one kernel \(boot/vmlinuz-RELEASE\)"):
        check_package(write_package(tmp_path / "own.deb", members))


def test_a_damaged_package(tmp_path: Path) -> None:
    found = write_package(tmp_path / "own.deb")
    found.write_bytes(found.read_bytes()[:3000])
    with pytest.raises(PackageError, match=r"own\.deb: "):
        check_package(found)
    found.write_bytes(b"!<arch>\n")
    with pytest.raises(PackageError, match=r"own\.deb: dpkg-deb: error: unexpected end of file"):
        check_package(found)


def test_names_and_versions_go_into_a_list_of_lines(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="found the Package"):
        name_and_version(write_package(tmp_path / "own.deb", name="linux image"))


@pytest.mark.vm
def test_a_bad_package_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{write_bootstrap(tmp_path).parent}:{os.environ['PATH']}")
    steps: list[str] = []
    found = write_package(tmp_path / "own.deb", [("./usr", tarfile.SYMTYPE, "/somewhere"), *KERNEL])
    with pytest.raises(InputError, match=r"own\.deb: '\./usr' is a symbolic link to '/somewhere'") as caught:
        build_image(steps.append, kernel="deb-1", package=found)
    assert caught.value.exit_code == EXIT_BAD_INPUT
    assert steps == []
