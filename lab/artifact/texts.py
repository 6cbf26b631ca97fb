# SPDX-License-Identifier: Apache-2.0
"""The texts of an artifact for people: README.md, CITATION.cff, and the lists of versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata

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
    parts = [
        f"# {document['title']}\n",
        "Results of network experiments that lab has made, with everything that is needed to check and to "
        "reproduce them.\n",
        "## What is inside\n",
        _contents(document),
        "## Available, functional, reusable\n",
        "- **Available**: `LICENSE` says what may be done with this artifact, `CITATION.cff` how to cite it, and "
        "`SHA256SUMS` "
        "has the digest of every file (`sha256sum --check SHA256SUMS`).\n"
        f"- **Functional**: `lab reproduce {archive} --trials 1` runs one trial of each run again and compares every "
        "byte "
        "with what is stored; without `--trials`, all trials run. It ends with exit code 0 if all bytes are the same, "
        "and "
        "with 1 if some differ, which it lists.\n"
        "- **Reusable**: `lab run runs/EXPERIMENT/ID/experiment.yaml --set …` runs an experiment with other values; "
        "`metrics.parquet` and the tables of each trial open in pandas and polars; `lab compare` compares a new run "
        "with "
        "one of these.\n",
        "## Install lab\n",
        f"The results were made with lab {document['lab_version']}. `environment/python.txt` has the exact versions "
        "of all "
        "Python packages, and `environment/image-*.txt` those of all Debian packages in the guest images. `lab doctor "
        "--fix` "
        "installs what is missing on a Debian or Ubuntu system.\n",
        "## Claims\n",
        *(
            _run(run, archive, environments[f"{run['experiment']}/{run['id']}"], number)
            for number, run in enumerate(document["runs"], 1)
        ),
        "## What is not inside\n",
        "".join(f"- {line}\n" for line in missing) or "Nothing that the results depend on is missing.\n",
    ]
    return "\n".join(parts)


def _contents(document: ArtifactDocument) -> str:
    lines = [
        "- `runs/EXPERIMENT/ID/`: each run with its experiment and the files that it names, the plan with all jobs, "
        "the "
        "provenance, what each trial recorded (`trials/`), the metrics, and the report with its figures "
        "(`report/index.html`)",
        "- `environment/`: exact versions, and what each run's results depend on",
        "- `artifact.json`: the runs with the digests of all of their trials",
    ]
    if document["images"]:
        lines.append("- `image/`: the guest images, to the byte")
    if document["uml_kernels"]:
        lines.append("- `uml-kernel/`: the kernels of User-mode Linux, which are programs, to the byte")
        lines.append("- `source/`: the source code of lab")
    elif document["images"]:
        lines.append("- `source/`: the source code of lab")
    return "\n".join(lines) + "\n"


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
