# SPDX-License-Identifier: Apache-2.0
"""The texts of an artifact for people: README.md, CITATION.cff, and the lists of versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from string import Template

from lab.artifact.document import ArtifactDocument, RunDocument

ANONYMOUS = "Anonymous"
"""The author if nobody is named, as artifacts for a blind review want it."""


def readme(
    document: ArtifactDocument, archive: str, environments: Mapping[str, Mapping[str, str]], missing: Sequence[str]
) -> str:
    """Return README.md: claims, the commands that check them, and the digests that come out.

    *environments* has, for each run (``EXPERIMENT/ID``), that on which its results depend; *missing* says in sentences
    what is not inside.
    """
    text = resources.files("lab.artifact").joinpath("readme.md").read_text(encoding="utf-8")
    return Template(text).substitute(
        title=document["title"],
        builds=_builds(document),
        archive=archive,
        version=document["lab_version"],
        claims="\n".join(
            _run(run, archive, environments[f"{run['experiment']}/{run['id']}"], number)
            for number, run in enumerate(document["runs"], 1)
        ),
        missing="\n".join(f"- {line}" for line in missing) or "Nothing that the results depend on is missing.",
    )


def _builds(document: ArtifactDocument) -> str:
    """Return the lines about what is only inside if it was asked for."""
    lines = {
        "`image/`: the guest images, to the byte": document["images"],
        "`uml-kernel/`: the kernels of User-mode Linux, which are programs, to the byte": document["uml_kernels"],
        "`emulator/`: QEMU with all that it loads, which are programs, to the byte": document["emulators"],
        "`source/`: the source code of lab": document["images"],
    }
    return "".join(f"- {line}\n" for line, inside in lines.items() if inside)


def _run(run: RunDocument, archive: str, environment: Mapping[str, str], number: int) -> str:
    name = f"{run['experiment']}/{run['id']}"
    parts = [f"### {number}. {run['experiment']}\n"]
    parts += [f"- **Claim {number}.{place}.** {text}" for place, text in enumerate(run["claims"], 1)]
    parts += [
        "" if run["claims"] else "The report of this run makes no claim.\n",
        f"Report: [runs/{name}/report/index.html](runs/{name}/report/index.html)\n",
    ]
    if run["engine"] == "native":
        parts.append("This run was made in real time, so its bytes cannot be reproduced; "
                     f"`lab verify runs/{name}` runs its trials again as root and compares means.\n")  # fmt: skip
    else:
        parts += [
            "Command:\n",
            f"```\nlab reproduce {archive} --run {name}\n```\n",
            f"Expected: `{len(run['trials'])}/{len(run['trials'])} byte-identical`, and the digest of all records "
            f"`{run['results_digest']}`. The digest of each trial is in `artifact.json`.\n",
        ]
    rows = "".join(f"| {key} | `{value}` |\n" for key, value in environment.items())
    parts.append(f"The results depend on:\n\n| | |\n|---|---|\n{rows}")
    return "\n".join(parts)


def citation(title: str, authors: Sequence[str]) -> str:
    """Return CITATION.cff (Citation File Format 1.2.0).  JSON strings are strings of YAML, too."""
    lines = [
        "cff-version: 1.2.0",
        "message: If you use this artifact, please cite it as below.",
        "type: dataset",
        f"title: {json.dumps(title, ensure_ascii=False)}",
        "authors:",
        *(f"  - name: {json.dumps(author, ensure_ascii=False)}" for author in authors or (ANONYMOUS,)),
    ]
    return "\n".join(lines) + "\n"


def python_packages() -> str:
    """Return the exact versions of all installed Python packages, in the format of pip's requirements."""
    found = {f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions() if one.metadata["Name"]}
    return "".join(f"{line}\n" for line in sorted(found, key=str.lower))
