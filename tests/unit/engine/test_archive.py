# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels by version: which are offered, which are kept, and which are between two others."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from lab.engine.debian.archive import DebianKernel, compare_versions, in_order, kept, offered, packages_of
from lab.engine.debian.range import versions_between
from lab.errors import ImageError, InputError
from tests.conftest import write_bootstrap, write_program


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Put an ``mmdebstrap`` with an archive of two kernels first in PATH; returns what has been asked of it."""
    monkeypatch.setenv("PATH", f"{write_bootstrap(tmp_path).parent}:{os.environ['PATH']}")

    def asked() -> list[str]:
        path = tmp_path / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.strip() for line in lines]

    return asked


def ignore(_what: str) -> None: ...


def test_the_newest_kernel_is_the_default_and_a_version_is_that_one(archive: Callable[[], list[str]]) -> None:
    (newest,) = packages_of("debian-13", ignore)
    assert newest.read_text() == "linux-image-6.12.9-test 6.12.9-1\n"
    assert archive() == ["trixie", "trixie linux-image-6.12.9-test 6.12.9-1"]
    for name in ("debian-13=6.12.0-1", "debian-13=6.12.0-test"):
        (older,) = packages_of(name, ignore)
        assert older.read_text() == "linux-image-6.12.0-test 6.12.0-1\n"
    assert archive() == ["trixie", "trixie linux-image-6.12.0-test 6.12.0-1"], "the second time, it was kept"
    assert [kernel.full_name for kernel in in_order(kept("debian-13"))] == ["debian-13=6.12.0-1", "debian-13=6.12.9-1"]
    assert kept("debian-12") == []


def test_a_kept_kernel_serves_after_the_archive_has_dropped_it(
    archive: Callable[[], list[str]], tmp_path: Path
) -> None:
    packages_of("debian-13=6.12.0-1", ignore)
    write_bootstrap(tmp_path, offered={"linux-image-6.12.9-test": "6.12.9-1"})
    (older,) = packages_of("debian-13=6.12.0-1", ignore)
    assert older.read_text() == "linux-image-6.12.0-test 6.12.0-1\n"
    names = [kernel.full_name for kernel in offered(["debian-13"], ignore)]
    assert names == ["debian-13=6.12.0-1", "debian-13=6.12.9-1"]
    # Without a network, too.
    write_program(tmp_path / "bin" / "mmdebstrap", "echo 'E: no network'; exit 1")
    assert packages_of("debian-13=6.12.0-test", ignore) == [older]
    with pytest.raises(ImageError, match="no network"):
        packages_of("debian-13", ignore)


def test_an_unknown_version_is_told_with_those_that_are_offered(archive: Callable[[], list[str]]) -> None:
    with pytest.raises(
        InputError, match=r"found debian-12=6\.1\.1-1, .*of debian-12, it offers 6\.12\.0-1, 6\.12\.9-1$"
    ):
        packages_of("debian-12=6.1.1-1", ignore)
    assert archive() == ["bookworm"]


def test_damaged_packages_are_downloaded_again(archive: Callable[[], list[str]]) -> None:
    (file,) = packages_of("debian-13=6.12.0-1", ignore)
    file.write_text("linux-image-6.12.0-test 6.12.0-2\n")
    told: list[str] = []
    (again,) = packages_of("debian-13=6.12.0-1", told.append)
    assert again.read_text() == "linux-image-6.12.0-test 6.12.0-1\n"
    assert any("are damaged" in line for line in told)


@pytest.mark.parametrize("line", ["linux-image-../x 1", "linux-image-6.1 1;2", "other 1"])
def test_what_the_archive_may_offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    package, _, version = line.partition(" ")
    program = write_bootstrap(tmp_path, offered={package: version})
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(ImageError, match="expected the package of a kernel"):
        packages_of("debian-13", ignore)


APT = """
case "$1 $2" in
"pkgnames linux-image-")
	# In no order, with packages of other flavours, and one that only depends on the newest.
	printf 'linux-image-6.12-cloud-amd64\\nlinux-image-7.3.4+deb13-cloud-amd64\\nlinux-image-6.12.9-amd64\\n'
	printf 'linux-image-6.19.14+deb13-cloud-amd64\\nlinux-image-6.1.0-50-cloud-amd64\\n' ;;
"depends --important")
	shift 2
	for package; do
		version=${package#linux-image-}
		echo "${package%=*}"
		printf '  PreDepends: linux-base\\n |Depends: <dracut>\\n  Depends: <linux-initramfs-tool>\\n'
		case $version in
		7.3.4*) for part in base binary modules; do echo "  Depends: linux-$part-${version%=*}"; done ;;
		6.19.14*) echo "  Depends: linux-binary-$version"; echo "  Depends: <linux-modules-$version>" ;;
		esac
	done ;;
"depends --no-recommends") printf 'linux-image-cloud-amd64\\n  Depends: linux-image-7.3.4+deb13-cloud-amd64\\n' ;;
madison*)
	shift
	for package; do
		echo " $package | ${package#linux-image-}-1 | http://archive bookworm/main amd64 Packages"
		echo " $package | ${package#linux-image-}-1 | http://archive bookworm-security/main amd64 Packages"
	done ;;
esac
"""
"""What ``apt-cache`` says of an archive that has a kernel in one package, one in four, and one without its modules."""


def hook(tmp_path: Path, *arguments: str) -> Path:
    """Run the hook that asks APT, with an APT of this test; return the folder with what it has left."""
    root, programs = tmp_path / "root", tmp_path / "programs"
    (root / "etc/apt").mkdir(parents=True)
    (root / "etc/apt/sources.list").write_text(
        "deb http://archive trixie main\ndeb http://archive trixie-updates main\n"
    )
    write_program(programs / "apt-cache", APT)
    write_program(programs / "apt-get", 'echo "$@" >>downloaded')
    script = resources.files("lab.engine.debian").joinpath("kernels.sh")
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "MMDEBSTRAP_APT_CONFIG": "config"}
    subprocess.run(["sh", str(script), str(root), *arguments], env=environment, cwd=tmp_path, check=True)
    return root / "out"


def test_only_kernels_with_all_of_their_parts_are_offered(tmp_path: Path) -> None:
    found = hook(tmp_path, "bookworm")
    assert (found / "kernels").read_text().splitlines() == [
        "linux-image-6.1.0-50-cloud-amd64 6.1.0-50-cloud-amd64-1",
        "linux-image-7.3.4+deb13-cloud-amd64 7.3.4+deb13-cloud-amd64-1",
    ]
    assert (found / "newest").read_text() == "linux-image-7.3.4+deb13-cloud-amd64\n"
    assert not (tmp_path / "downloaded").exists()


def test_a_kernel_is_downloaded_with_its_parts_of_the_same_version(tmp_path: Path) -> None:
    found = hook(tmp_path, "trixie-backports", "linux-image-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1")
    names = [f"linux-{part}-7.3.4+deb13-cloud-amd64=7.3.4-1~bpo13+1" for part in ("image", "base", "binary", "modules")]
    assert (found / "downloaded").read_text() == f"download -qq {' '.join(names)}\n"
    # Only the backports are read.
    assert (tmp_path / "root/etc/apt/sources.list").read_text() == "deb http://archive trixie-backports main\n"
    assert (tmp_path / "downloaded").read_text() == "update -qq\n"


def test_versions_are_compared_as_debian_s_policy_says() -> None:
    versions = ["6.1.190-1", "6.12.9-1~bpo13+1", "6.12.9-1", "6.12.90-1", "6.12.100-1~deb12u1", "6.12.100-1"]
    for one, other in itertools.pairwise(versions):
        assert (compare_versions(one, other), compare_versions(other, one)) == (-1, 1)
    assert compare_versions("6.1", "6.1") == 0


OFFERED = [
    DebianKernel(name, f"linux-image-{version.partition('-')[0]}-cloud-amd64", version)
    for name, version in (
        ("debian-12", "6.1.190-1"),
        ("debian-12", "6.1.192-2"),
        ("debian-13", "6.12.90-1"),
        ("debian-12", "6.12.107-1~deb12u1"),
        ("debian-13", "6.12.107-1"),
        ("debian-13", "6.12.118-1"),
        ("debian-13-backports", "6.16.3-1~bpo13+1"),
    )
]


@pytest.mark.parametrize(
    ("good", "bad", "versions"),
    [
        ("debian-12", "debian-13", ["6.1.192-2", "6.12.90-1", "6.12.107-1~deb12u1", "6.12.118-1"]),
        ("debian-12=6.1.190-1", "debian-13=6.12.107-1", ["6.1.190-1", "6.1.192-2", "6.12.90-1", "6.12.107-1"]),
        ("debian-13", "debian-12=6.12.107-1~deb12u1", ["6.12.118-1", "6.12.107-1~deb12u1"]),
        ("debian-13=6.12.107-cloud-amd64", "debian-13-backports", ["6.12.107-1", "6.12.118-1", "6.16.3-1~bpo13+1"]),
    ],
)
def test_the_kernels_between_two_others(good: str, bad: str, versions: list[str]) -> None:
    assert [kernel.version for kernel in versions_between(good, bad, OFFERED)] == versions


def test_ends_that_are_not_offered_or_the_same() -> None:
    with pytest.raises(InputError, match=r"found debian-13=6\.12\.1-1.*of debian-13, it offers 6\.12\.90-1, "):
        versions_between("debian-12", "debian-13=6.12.1-1", OFFERED)
    with pytest.raises(InputError, match="which is the good kernel, too"):
        versions_between("debian-13", "debian-13=6.12.118-1", OFFERED)
