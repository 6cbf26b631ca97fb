# SPDX-License-Identifier: Apache-2.0
"""The kernel of an experiment: its names in files and jobs, and the modules that an image takes from its package."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.engine.image import kernel
from lab.engine.image.build import find_image, recipe_digest
from lab.engine.image.kernel import NEEDED, boot_modules, check_configuration
from lab.engine.vm.engine import VmEngine
from lab.errors import EngineError, ImageError, SpecError
from lab.experiment.read.load import LoadedExperiment, load_experiment
from lab.job import kernels
from lab.plan.plan import Plan, make_plan

FILE = """\
name: test
topology: {kind: dumbbell, bottleneck: {rate: 20mbit, delay: 10ms}}
flows: {bulk: {from: s1, to: d1}}
duration: 10s
"""
PACKAGE = b"!<arch>\ndebian-binary and so on"
NAME = kernels.of_package(hashlib.sha256(PACKAGE).hexdigest())


def load(tmp_path: Path, *overrides: str) -> LoadedExperiment:
    path = tmp_path / "experiment.yaml"
    path.write_text(FILE)
    (tmp_path / "own.deb").write_bytes(PACKAGE)
    (tmp_path / "text.deb").write_text("no package")
    return load_experiment(path, overrides)


def plan(tmp_path: Path, *overrides: str) -> Plan:
    loaded = load(tmp_path, *overrides)
    return make_plan(loaded.checked)


def test_the_kernel_is_debian_s_newest_unless_said_otherwise(tmp_path: Path) -> None:
    assert plan(tmp_path).kernels == ["debian-13"]
    assert plan(tmp_path, "kernel=debian-12").kernels == ["debian-12"]
    assert plan(tmp_path, "kernel=debian-13=6.12.115-1").kernels == ["debian-13=6.12.115-1"]
    made = plan(tmp_path, "matrix.kernel=[debian-13=6.12.115-1, debian-13-backports=6.16.3-1~bpo13+1]")
    assert Plan.from_json(made.to_json()) == made


def test_a_package_counts_by_its_content(tmp_path: Path) -> None:
    loaded = load(tmp_path, "matrix.kernel=[debian-12, own.deb]")
    made = make_plan(loaded.checked)
    assert made.kernels == ["debian-12", NAME]
    assert loaded.packages == {NAME: tmp_path / "own.deb"}
    assert loaded.files == {}, "a kernel is too large to be kept with every run"
    assert [cell.id for cell in made.cells] == ["kernel-debian-12", "kernel-own"]
    assert len({trial.digest for trial in made.trials}) == 2


KERNELS = "debian-12, debian-13, debian-13-backports, uml-7.3"


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("debian-11", f"kernel: found 'debian-11'; expected {KERNELS}, a version of one of Debian's, such as"),
        ("6.12", f"kernel: found 6.12; expected {KERNELS}, a version of one of Debian's, such as"),
        ("debian-13=", "kernel: found 'debian-13='; expected"),
        ("debian-13=../6.12", "kernel: found 'debian-13=../6.12'; expected"),
        ("debian-11=5.10.1-1", "kernel: found 'debian-11=5.10.1-1'; expected"),
        ("uml-7.3=7.3", "kernel: found 'uml-7.3=7.3'; expected"),
        ("there.deb", "kernel: found 'there.deb': "),
        ("text.deb", "this is not a Debian package; expected one that contains a kernel"),
    ],
)
def test_what_is_no_kernel(tmp_path: Path, kernel: str, expected: str) -> None:
    with pytest.raises(SpecError) as error:
        load(tmp_path, f"kernel={kernel}")
    assert expected in str(error.value)


def test_each_kernel_has_an_image_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    assert len({recipe_digest(kernel) for kernel in ("debian-12", "debian-13", NAME)}) == 3
    assert find_image("debian-12") is None


@pytest.mark.vm
def test_a_package_that_is_gone_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        EngineError, match=rf"no guest image with the kernel {NAME}.*lab bundle build --kernel FILE\.deb"
    ):
        VmEngine([NAME]).locate(lambda _what: None)


@pytest.mark.parametrize(
    ("release", "seeded"),
    [
        ("6.1.0-56-cloud-amd64", False),
        ("6.5.13", False),
        ("6.6.0", True),
        ("6.12.117+deb13-cloud-amd64", True),
        ("7.0", True),
        ("5.10.0", False),
    ],
)
def test_which_kernels_have_seeds_for_netem(release: str, seeded: bool) -> None:
    assert kernels.netem_takes_seeds(release) is seeded


def tree(tmp_path: Path, dependencies: str, contents: dict[str, bytes], *, builtin: str = "") -> Path:
    folder = tmp_path / "usr/lib/modules/6.1"
    folder.mkdir(parents=True)
    (folder / "modules.dep").write_text(dependencies)
    (folder / "modules.builtin").write_text(builtin)
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return tmp_path


def test_modules_load_after_what_they_need(tmp_path: Path) -> None:
    names = ("nfit", "libnvdimm", "nd_pmem", "nd_btt", "erofs", "netfs", "other")
    dependencies = (
        "k/nfit.ko: k/libnvdimm.ko\nk/nd_pmem.ko: k/nd_btt.ko k/libnvdimm.ko\nk/nd_btt.ko: k/libnvdimm.ko\n"
        "k/libnvdimm.ko:\nk/erofs.ko: k/netfs.ko\nk/netfs.ko:\nk/other.ko:\n"
    )
    root = tree(tmp_path, dependencies, {f"k/{name}.ko": name.encode() for name in names})
    order = list(boot_modules(root, "6.1", ("nd_pmem", "nfit", "erofs")))
    assert order == ["libnvdimm.ko", "nd_btt.ko", "nd_pmem.ko", "nfit.ko", "netfs.ko", "erofs.ko"]


def test_modules_load_after_what_they_ask_for_when_they_start(tmp_path: Path) -> None:
    """Distribution kernels have crc32c as modules, which libcrc32c requests by an alias when it is loaded."""
    names = ("erofs", "libcrc32c", "crc32c-intel", "crc32c_generic")
    root = tree(
        tmp_path,
        "k/erofs.ko: k/libcrc32c.ko\nk/libcrc32c.ko:\nk/crc32c-intel.ko:\nk/crc32c_generic.ko:\n",
        {f"k/{name}.ko": b"" for name in names},
    )
    folder = root / "usr/lib/modules/6.1"
    (folder / "modules.softdep").write_text("# Soft dependencies\nsoftdep libcrc32c pre: crc32c\n")
    (folder / "modules.alias").write_text("alias crc32c crc32c_intel\nalias crc32c crc32c_generic\n")
    assert list(boot_modules(root, "6.1", ("erofs",))) == ["crc32c_generic.ko", "libcrc32c.ko", "erofs.ko"]


def test_modules_may_be_packed_or_built_in(tmp_path: Path) -> None:
    zstd = shutil.which("zstd")
    packed = {"k/nfit.ko.xz": lzma.compress(b"nfit")}
    if zstd is not None:
        packed["k/erofs.ko.zst"] = subprocess.run([zstd, "-cq"], input=b"erofs", capture_output=True, check=True).stdout
    else:
        packed["k/erofs.ko"] = b"erofs"
    root = tree(
        tmp_path, "".join(f"{name}:\n" for name in packed), packed, builtin="kernel/drivers/nvdimm/nd_pmem.ko\n"
    )
    found = boot_modules(root, "6.1", ("nd_pmem", "nfit", "erofs"))
    assert found == {"nfit.ko": b"nfit", "erofs.ko": b"erofs"}
    with pytest.raises(ImageError, match=r"the kernel 6\.1 has no module ext9, which is needed to mount the root"):
        boot_modules(root, "6.1", ("ext9",))


def test_modules_that_ask_for_each_other(tmp_path: Path) -> None:
    root = tree(tmp_path, "k/erofs.ko:\nk/b.ko:\n", {"k/erofs.ko": b"", "k/b.ko": b""})
    (root / "usr/lib/modules/6.1/modules.softdep").write_text("softdep erofs pre: b\nsoftdep b pre: erofs\n")
    assert list(boot_modules(root, "6.1", ("erofs",))) == ["b.ko", "erofs.ko"]


def test_lists_of_modules_may_have_any_bytes(tmp_path: Path) -> None:
    root = tree(tmp_path, "k/erofs.ko:\n", {"k/erofs.ko": b"erofs"})
    for name in ("builtin", "alias", "softdep"):
        (root / f"usr/lib/modules/6.1/modules.{name}").write_bytes(b"\xff\xfe alias\n")
    assert boot_modules(root, "6.1", ("erofs",)) == {"erofs.ko": b"erofs"}


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst"])
def test_a_module_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(kernel, "MOST_MODULE_BYTES", 1 << 20)
    content = bytes(2 << 20)
    if suffix == ".xz":
        content = lzma.compress(content)
    elif suffix == ".zst":
        zstd = shutil.which("zstd") or pytest.skip("the tool zstd is not installed")
        content = subprocess.run([zstd, "-cq"], input=content, capture_output=True, check=True).stdout
    root = tree(tmp_path, f"k/erofs.ko{suffix}:\n", {f"k/erofs.ko{suffix}": content})
    with pytest.raises(ImageError, match=rf"the module erofs\.ko{suffix} has more than 1 MiB"):
        boot_modules(root, "6.1", ("erofs",))


@pytest.mark.parametrize("suffix", [".xz", ".zst"])
def test_a_module_that_cannot_be_unpacked(tmp_path: Path, suffix: str) -> None:
    if suffix == ".zst" and shutil.which("zstd") is None:
        pytest.skip("the tool zstd is not installed")
    root = tree(tmp_path, f"k/erofs.ko{suffix}:\n", {f"k/erofs.ko{suffix}": b"no archive"})
    with pytest.raises(ImageError, match=rf"cannot decompress erofs\.ko{suffix}"):
        boot_modules(root, "6.1", ("erofs",))


def test_a_kernel_that_cannot_run_trials_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    check_configuration(tmp_path, "6.1")  # a kernel without a configuration file is accepted
    boot = tmp_path / "boot"
    boot.mkdir()
    (boot / "config-6.1").write_text("".join(f"CONFIG_{name}={'ym'[at % 2]}\n" for at, name in enumerate(NEEDED)))
    check_configuration(tmp_path, "6.1")
    text = (boot / "config-6.1").read_text()
    (boot / "config-6.1").write_text(text.replace("CONFIG_NET_SCH_NETEM=", "# CONFIG_NET_SCH_NETEM "))
    with pytest.raises(ImageError, match=r"built without CONFIG_NET_SCH_NETEM \(delay and loss\); set these to y or m"):
        check_configuration(tmp_path, "6.1")
