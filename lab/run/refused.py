# SPDX-License-Identifier: Apache-2.0
"""Say why a kernel refused a congestion control of the user, with the line of the source, if it is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lab.cc.explain import explain
from lab.cc.sources import SUFFIX, Sources, gather
from lab.errors import AlgorithmRefusedError, InputError
from lab.job.protocol import ALGORITHM_LOG, Job

__all__ = ["refusal"]

_OUTSIDE = re.compile(r"outside-[0-9a-f]{16}-")
"""What the name of an input begins with if it is not below the folder of the experiment (:mod:`lab.names`)."""

_MOST_SAID = 1 << 20
_MOST_INPUTS = 200


def refusal(error: str, record: Path, job: Job, inputs: Path) -> AlgorithmRefusedError | None:
    """Return the error for a failed *record* if the kernel refused an algorithm of its job, or else None.

    *error* is what the record gives as the reason; *inputs* is the folder with the files that the experiment names.
    """
    log = record / ALGORITHM_LOG
    refused = re.match(r"the kernel refused the algorithm ([a-z0-9_]{1,15}): ", error)
    if refused is None or not log.is_file():
        return None
    with log.open("rb") as file:
        said = file.read(_MOST_SAID).decode(errors="replace")
    if any(one["name"] == refused[1] and "form" in one for one in job.get("algorithms", ())):
        return AlgorithmRefusedError(_plain(error), log=log)  # No verifier has looked at a module.
    digests = {one["name"]: one["source_sha256"] for one in job.get("algorithms", ())}
    explanation = explain(f"{error}\n{said}", _texts(inputs, digests.get(refused[1], "")))
    if explanation is None:
        return AlgorithmRefusedError(error, log=log)
    place = f"{explanation.place}: " if explanation.place is not None else ""
    return AlgorithmRefusedError(f"{refused[0]}{place}{_plain(explanation.reason)}", log=log)


def _texts(inputs: Path, sha256: str) -> Mapping[str, str]:
    """Return the source with this digest and its headers, by their paths; empty if it is not there."""
    for path in sorted(inputs.rglob(f"*{SUFFIX}"))[:_MOST_INPUTS]:
        try:
            found = _gathered(path)
        except (InputError, OSError):
            continue
        if found.sha256 == sha256:
            return {name: data.decode(errors="replace") for name, data in found.files.items()}
    return {}


def _gathered(path: Path) -> Sources:
    name = _OUTSIDE.sub("", path.name)

    def read(wanted: str) -> bytes | None:
        file = path if wanted == name else path.parent / wanted
        return file.read_bytes() if file.is_file() else None

    return gather(name, read)


def _plain(text: str) -> str:
    """Return what may quote anything from a guest as text for a terminal, in one line."""
    return " ".join("".join(letter if letter.isprintable() or letter.isspace() else "�" for letter in text).split())
