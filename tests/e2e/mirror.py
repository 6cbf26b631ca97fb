# SPDX-License-Identifier: Apache-2.0
"""An archive of snapshots of Debian packages, on the loopback interface, with all that a bundle is built from."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from lab.engine.debian.bootstrap import SUITE
from lab.engine.emulator.build import PACKAGES as EMULATOR_PACKAGES
from lab.engine.image.build import PACKAGES as IMAGE_PACKAGES

KERNEL = "linux-image-cloud-amd64"
"""The package that depends on the newest kernel."""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class Mirror:
    """Debian packages in a folder, of which snapshots can be made; a context manager that serves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool = folder / "pool"
        self._pool.mkdir(parents=True)
        download(self._pool)
        handler = partial(Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def address(self) -> str:
        """What ``--mirror`` takes; nobody has signed the packages."""
        return f"deb [trusted=yes] http://127.0.0.1:{self._server.server_port}/@SNAPSHOTID@ {SUITE} main"

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def changed(self, package: str) -> str:
        """Replace a package by one with a later version and otherwise the same content; return the version."""
        (path,) = self._pool.glob(f"{package}_*.deb")
        tree = self.folder / "changed"
        subprocess.run(["dpkg-deb", "--raw-extract", path, tree], check=True)
        control = tree / "DEBIAN" / "control"
        old = next(line for line in control.read_text().splitlines() if line.startswith("Version: "))
        control.write_text(control.read_text().replace(old, f"{old}+lab1"))
        path.unlink()
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", tree, self._pool / f"{package}_changed.deb"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(tree)
        return f"{old.removeprefix('Version: ')}+lab1"

    def snapshot(self, time: str) -> None:
        """Make a snapshot of the packages as they are now."""
        top = self.folder / time
        shutil.copytree(self._pool, top / "pool", copy_function=_linked)
        lists = top / "dists" / SUITE / "main" / "binary-amd64"
        lists.mkdir(parents=True)
        entries = []
        for path in sorted((top / "pool").glob("*.deb")):
            control = subprocess.run(["dpkg-deb", "--field", path], capture_output=True, text=True, check=True).stdout
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            size = path.stat().st_size
            entries.append(f"{control}Filename: pool/{path.name}\nSize: {size}\nSHA256: {digest}\n")
        plain = "\n".join(entries).encode()
        content = gzip.compress(plain, mtime=0)
        (lists / "Packages.gz").write_bytes(content)
        # APT wants to know the plain file, too, although it only loads the compressed one.
        named = "\n ".join(
            f"{hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/{name}"
            for name, data in (("Packages", plain), ("Packages.gz", content))
        )
        (top / "dists" / SUITE / "Release").write_text(
            f"Origin: Debian\nSuite: stable\nCodename: {SUITE}\nArchitectures: amd64\nComponents: main\n"
            f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nValid-Until: Fri, 02 Jan 2026 00:00:00 UTC\nSHA256:\n {named}\n"
        )


def _linked(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def download(folder: Path) -> None:
    """Download everything that the root file systems of a bundle are made of, and the newest kernel."""
    names = sorted({*EMULATOR_PACKAGES, *IMAGE_PACKAGES})
    fetch = (
        'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; cd "$1/var/cache/apt/archives" && '
        f"parts=$(apt-cache depends --recurse --important {KERNEL} | sed -n 's/^\\(linux-[a-z]*-[0-9].*\\)/\\1/p') && "
        f"apt-get download -qq {KERNEL} $parts"
    )
    subprocess.run(
        [
            "mmdebstrap", "--variant=extract", "--include=?essential", f"--include={','.join(names)}",
            "--format=null",
            '--aptopt=APT::Install-Recommends "false"', f"--extract-hook={fetch}",
            f"--extract-hook=copy-out /var/cache/apt/archives {folder}", SUITE, "/dev/null",
        ],
        check=True,
    )  # fmt: skip
    archives = folder / "archives"
    for path in archives.glob("*.deb"):
        path.rename(folder / path.name)
    shutil.rmtree(archives)
