# SPDX-License-Identifier: Apache-2.0
"""Collect what an artifact consists of, and write it."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path

from lab.artifact.document import FILE, FORMAT, RUNS, ArtifactDocument, run_document
from lab.artifact.texts import citation, python_packages, readme
from lab.bundle.archive import files_in, name_of, write_archive
from lab.engine.debian.builds import Build, check_build, open_build
from lab.engine.emulator.build import Emulator
from lab.engine.image.build import Image, open_image
from lab.engine.uml.build import UmlKernel
from lab.errors import InputError
from lab.job.bpf_sources import BPF_SOURCES
from lab.store import places
from lab.store.files import to_json
from lab.store.run import Run
from lab.version import version, version_text

IMAGES = "image"
UML_KERNELS = "uml-kernel"
EMULATORS = "emulator"
SOURCE = "source"

_NO_BUILDS = (
    "QEMU, the guest images and the kernels of User-mode Linux: lab builds them from Debian's packages, of which these "
    "versions may no longer be offered (`lab artifact --with-image` packs them)."
)
_PACKAGE = Path(__file__).resolve().parents[1]
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DEPENDS_ON = re.compile(r"engine|kernel|lab_version|python|qemu_version|.*_digest")


def write_artifact(
    path: Path, runs: Sequence[Run], *, title: str, authors: Sequence[str], license_text: bytes, with_image: bool
) -> list[str]:
    """Write the artifact of *runs* to *path*, and return in sentences what is not inside.

    With *with_image*, QEMU, the images, the kernels of User-mode Linux and lab's source code are inside.

    Raises:
        InputError: Two runs have the same name, or a run has no report.
        StoreError: Files cannot be read or written.
        ImageError: An image or a kernel of the runs is no longer in the cache, or damaged.
    """
    names = [f"{run.experiment}/{run.id}" for run in runs]
    if len(set(names)) < len(names):
        raise InputError("found the same run twice; expected different ones")
    files: dict[str, bytes | Path] = {}
    for run in runs:
        if not (run.report_dir / "answer.json").is_file():
            raise InputError(
                f"{run.path} has no report, whose figures and claims belong into the artifact; `lab report` writes it"
            )
        files |= files_in(run.path, f"{RUNS}/{run.experiment}/{run.id}")
    images, kernels = _digests(runs, "image_digest"), _digests(runs, "uml_kernel_digest")
    emulators = _digests(runs, "emulator_digest")
    missing = _missing(runs, with_image=with_image)
    if with_image:
        files |= _builds(images, kernels, emulators)
    else:
        missing.insert(0, _NO_BUILDS)
    for image in images:
        found = open_image(image)
        if found is not None:
            files[f"environment/image-{image[:16]}.txt"] = found.path / "packages"
    document: ArtifactDocument = {
        "format": FORMAT,
        "title": title,
        "lab_version": version(),
        "runs": [run_document(run) for run in runs],
        "images": images if with_image else [],
        "uml_kernels": kernels if with_image else [],
        "emulators": emulators if with_image else [],
    }
    environments = {name: _environment(run) for name, run in zip(names, runs, strict=True)}
    files |= {
        FILE: to_json(dict(document)),
        "README.md": readme(document, path.name, environments, missing).encode(),
        "LICENSE": license_text,
        "CITATION.cff": citation(title, authors).encode(),
        "environment/python.txt": python_packages().encode(),
        "environment/environment.json": to_json(
            {"lab": version_text(), "python": platform.python_version(), "runs": environments}
        ),
    }
    name_of(path)
    write_archive(path, files)
    return missing


def _environment(run: Run) -> dict[str, str]:
    return {key: str(value) for key, value in sorted(run.provenance.items()) if _DEPENDS_ON.fullmatch(key)}


def _digests(runs: Sequence[Run], key: str) -> list[str]:
    """Return the digests of a kind of builds on which the runs depend; a run on several kernels has several."""
    return sorted({digest for run in runs for digest in _DIGEST.findall(str(run.provenance.get(key, "")))})


def _builds(images: Sequence[str], kernels: Sequence[str], emulators: Sequence[str]) -> dict[str, bytes | Path]:
    """Return the files of all builds, which must be in the cache as they were built, and those of lab itself."""
    files: dict[str, bytes | Path] = {}
    kinds: tuple[tuple[str, type[Build], Path, Sequence[str]], ...] = (
        (IMAGES, Image, places.images(), images),
        (UML_KERNELS, UmlKernel, places.uml_kernels(), kernels),
        (EMULATORS, Emulator, places.emulators(), emulators),
    )
    for place, kind, parent, digests in kinds:
        for digest in digests:
            build = open_build(kind, parent, digest)
            if build is None:
                raise InputError(
                    f"--with-image: the {place} {digest[:16]} that a run was made with is no longer in the cache; run "
                    "the experiment again, or leave out the option"
                )
            check_build(build)
            files |= files_in(build.path, f"{place}/{digest}")
    files |= files_in(_PACKAGE, f"{SOURCE}/lab")
    if not BPF_SOURCES.is_relative_to(_PACKAGE):
        files |= files_in(BPF_SOURCES, f"{SOURCE}/bpf")
    return files


def _missing(runs: Sequence[Run], *, with_image: bool) -> list[str]:
    found = []
    if any(run.provenance.get("engine") == "native" for run in runs):
        found.append("The kernel of the host on which native trials ran.")
    failed = [f"{run.experiment}/{run.id}" for run in runs if run.provenance.get("status") != "complete"]
    if failed:
        found.append(f"Some trials of {', '.join(failed)}, which failed or were interrupted.")
    return found
