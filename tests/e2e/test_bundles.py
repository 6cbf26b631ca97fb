# SPDX-License-Identifier: Apache-2.0
"""The same bytes with the same bundle: as another user, in a bare root of another release, and in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.bundle.choose import using
from lab.bundle.parts import default_bundle
from lab.bundle.transfer import export_bundles, import_bundles
from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from tests.conftest import FAST, write_program
from tests.e2e.mirror import Mirror

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a root of its own requires root"),
]

ROOT = Path(__file__).parents[2]
NOBODY = 65534

EXPERIMENT = """\
name: tiny
topology:
  kind: dumbbell
  bottleneck: {rate: 10mbit, delay: 10ms, loss: 0.1%}
flows:
  bulk: {from: s1, to: d1, cc: bbr}
duration: 2s
report: {defaults: false}
"""

AS_NOBODY = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--no-new-privs")

COMMANDS = """\
set -e
LAB bundle import bundle.tar.zst
LAB run tiny.yaml --engine ENGINE
LAB verify results/tiny/latest
"""


def check_here(results: Path) -> None:
    """Check that the trial gives the same bytes here, and what is computed from them, with a Python that may differ."""
    command = [Path(sys.executable).with_name("lab"), "verify", results / "tiny" / "latest"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1/1 byte-identical" in done.stdout


def workspace_in(folder: Path, bundle: Path) -> Path:
    """Make a folder of an ordinary user with an experiment and a bundle."""
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    shutil.copyfile(bundle, folder / "bundle.tar.zst")
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    return folder


def commands(lab: str, engine: str) -> str:
    return COMMANDS.replace("LAB", lab).replace("ENGINE", engine)


def run_alone(script: str, *arguments: str | Path, timeout: float) -> None:
    """Run a shell script without a network and with mounts of its own; it must run and verify the experiment."""
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script, "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1/1 byte-identical" in done.stdout


@pytest.fixture(scope="module")
def exported(
    engines: Callable[[str], VmEngine | UmlEngine], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A function that exports the bundle with a kernel, and returns the path of the file."""

    def export(kernel: str) -> Path:
        engines(kernel)
        bundle = default_bundle(kernel)
        assert bundle is not None
        path = tmp_path_factory.mktemp("bundle") / "bundle.tar.zst"
        export_bundles([bundle], path)
        return path

    return export


def test_an_ordinary_user_without_a_network(exported: Callable[[str], Path], tmp_path: Path) -> None:
    """In a root that has nothing but Python and its packages: no tool of lab's own, and no device."""
    home = workspace_in(tmp_path / "home", exported(FAST))
    (root := tmp_path / "root").mkdir()
    tools = tmp_path / "tools"
    tools.mkdir()
    script = """\
set -e
mount -t tmpfs -o mode=755 root "$1"
cd "$1"
for folder in usr etc proc sys; do mkdir "$folder"; mount --rbind "/$folder" "$folder"; done
for link in lib lib64 bin; do ln -s "usr/$link" "$link"; done
mkdir -m 755 dev home tools
for device in null zero urandom random; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir -p tmp dev/shm
chmod 1777 tmp dev/shm
mount --bind "$2" home; mount --bind "$3" tools
commands=$4
shift 4
for folder; do mkdir -p ".$folder"; mount --rbind "$folder" ".$folder"; done
exec chroot . /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \\
  /usr/bin/env -C /home -i HOME=/home PATH=/tools PYTHONDONTWRITEBYTECODE=1 /bin/sh -c "$commands"
"""
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    write_program(
        tools / "lab",
        f"export PYTHONPATH={packages}:{ROOT}\n"
        f"exec {os.path.realpath(sys.executable)} -c 'import sys; from lab.cli import main; sys.exit(main())' \"$@\"",
    )
    needed = dict.fromkeys((str(ROOT), sys.base_prefix, packages))
    run_alone(script, root, home, tools, commands("lab", "uml"), *needed, timeout=600)
    check_here(home / "results")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian 13 with Python and the package lab, and without any of the packages that lab uses."""
    root = tmp_path_factory.mktemp("bare") / "root"
    wheels = tmp_path_factory.mktemp("wheels")
    subprocess.run(["mmdebstrap", "--variant=minbase", "--include=python3-venv", "trixie", root], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, ROOT], check=True
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, "--require-hashes"),
            *("--only-binary", ":all:", "--python-version", "3.13", "-r", ROOT / "requirements.lock"),
        ],
        check=True,
    )
    shutil.copytree(wheels, root / "wheels")
    install = "python3 -m venv /venv && /venv/bin/pip install --quiet --no-index --find-links /wheels tcp-lab"
    subprocess.run(["chroot", root, "sh", "-c", install], check=True)
    yield root
    shutil.rmtree(root)


@pytest.mark.nightly
def test_a_bare_root_of_another_release(exported: Callable[[str], Path], bare: Path) -> None:
    home = workspace_in(bare / "home" / "user", exported(kernels.DEFAULT))
    script = 'set -e; mount -t proc proc "$1/proc"; mount --bind /dev "$1/dev"; cd "$1"; shift; exec chroot . "$@"'
    environment = ("env", "-i", "-C", "/home/user", "HOME=/home/user", "PATH=/usr/bin")
    run_alone(script, bare, *AS_NOBODY, *environment, "sh", "-c", commands("/venv/bin/lab", "vm"), timeout=1800)
    check_here(home / "results")


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed")
def test_a_container(exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The container's own file systems need nothing of the kernel in this way.
    monkeypatch.setenv("STORAGE_DRIVER", "vfs")
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    shutil.copyfile(exported(kernels.DEFAULT), checkout / "bundle.tar.zst")
    subprocess.run(
        ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", "trixie", tmp_path / "base.tar"], check=True
    )

    def buildah(*arguments: object) -> str:
        done = subprocess.run(["buildah", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    base = buildah("from", "scratch")
    buildah("add", "-q", base, tmp_path / "base.tar", "/")
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", base)
    buildah("commit", "-q", base, "localhost/lab-test-base")
    certificates = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]
    pip = [word for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ for word in ("--env", name)]
    buildah("build", *certificates, *pip, "--build-arg", "BASE=localhost/lab-test-base", "-t", "lab-test", checkout)
    home = workspace_in(tmp_path / "home", exported(kernels.DEFAULT))
    container = buildah("from", "localhost/lab-test")
    try:
        buildah(
            "run", "--user", f"{NOBODY}:{NOBODY}", "--network", "none", "--volume", f"{home}:/work", container,
            "lab", "run", "tiny.yaml", "--engine", "vm",
        )  # fmt: skip
    finally:
        buildah("rm", container, base)
        buildah("rmi", "localhost/lab-test", "localhost/lab-test-base")
    check_here(home / "results")


@pytest.mark.nightly
def test_an_archive_of_snapshots(lab: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """A bundle of an earlier time has the packages of that time, whatever the archive offers since then."""
    with Mirror(tmp_path / "mirror") as mirror:
        mirror.snapshot("20260101T000000Z")
        newer = mirror.changed("iputils-ping")
        mirror.snapshot("20260201T000000Z")
        cache = str(tmp_path / "cache")
        digests, listed = [], []
        for time in ("20260101T000000Z", "20260201T000000Z"):
            done = lab("bundle", "build", "--snapshot", time, "--mirror", mirror.address, timeout=900, LAB_CACHE=cache)
            assert done.returncode == 0, done.stderr
            digests.append(done.stdout.strip())
            listed.append(lab("bundle", "info", digests[-1], LAB_CACHE=cache).stdout)
    assert digests[0] != digests[1]
    assert f"  iputils-ping {newer} " in listed[1]
    assert f"  iputils-ping {newer} " not in listed[0]
    differing = set(listed[0].splitlines()) ^ set(listed[1].splitlines())
    packages = {line.split()[0] for line in differing if line.startswith("  ")}
    assert packages == {"iputils-ping"}


@pytest.mark.nightly
def test_imported_twice_at_the_same_time(exported: Callable[[str], Path], tmp_path: Path) -> None:
    path = exported(FAST)
    script = f"LAB bundle import {path} -q & first=$!; LAB bundle import {path} -q && wait $first"
    lab = str(Path(sys.executable).with_name("lab"))
    environment = {**os.environ, "LAB_CACHE": str(tmp_path / "cache")}
    subprocess.run(["sh", "-c", script.replace("LAB", lab)], env=environment, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_CACHE", str(tmp_path / "cache"))
        bundles, _used = import_bundles(str(path), lambda _step: None)
        with using(bundles):
            assert not bundles[0].missing()
