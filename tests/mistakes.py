# SPDX-License-Identifier: Apache-2.0
"""The typical mistakes in ``tests/data/mistakes``: small algorithms, each with one, and what should be said about it.

The second line of a file says who refuses it and a part of the explanation; the line with the mistake ends with the
comment ``mistake``, unless nobody can know the line.  Who: ``clang``, which refuses it; ``warning``, of which clang
only warns; ``libbpf`` and ``verifier``, which do not load its object; ``register``, for what is not registered.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.cc import compiler
from lab.cc.explain import explain

FOLDER = Path(__file__).parent / "data" / "mistakes"
STARTERS = sorted((compiler.INCLUDE.parent / "starters").glob("*.bpf.c"))
MARK = "/* mistake */"
COMPILER = ("clang", "warning")


@dataclass(frozen=True)
class Mistake:
    """A file with a mistake."""

    name: str
    who: str
    words: str
    """A part of the explanation."""
    text: str

    @property
    def file(self) -> str:
        return f"{self.name}.bpf.c"

    @property
    def line(self) -> int | None:
        """The line with the mistake; None if nobody can know it."""
        marked = [number for number, line in enumerate(self.text.splitlines(), 1) if MARK in line]
        assert len(marked) <= 1
        return marked[0] if marked else None

    def check(self, said: str) -> None:
        """Assert that what has been *said* is explained with the right words and the right line."""
        explanation = explain(said, {self.file: self.text})
        if explanation is None:
            # clang's own message is clear enough, and names the line.
            assert self.who in COMPILER
            assert self.words in said
            assert re.search(rf"^(?:.*/)?{re.escape(self.file)}:{self.line}:", said, re.MULTILINE), said
            return
        assert self.words in str(explanation)
        lines = explanation.place.lines if explanation.place is not None else None
        assert lines == (None if self.line is None else (self.line,)), str(explanation)


def mistakes() -> dict[str, Mistake]:
    """Return all mistakes by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.bpf.c")):
        text = path.read_text()
        first = re.match(r"// SPDX[^\n]*\n/\* (clang|warning|libbpf|verifier|register): (.+) \*/\n", text)
        assert first is not None, path
        name = path.name.removesuffix(".bpf.c")
        found[name] = Mistake(name, first[1], first[2], text)
    return found


def compiled(source: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Compile a source with the flags of ``lab``, without the sandbox, and return what clang says."""
    flags = [str(compiler.INCLUDE) if flag == compiler._HEADER_FOLDER else flag for flag in compiler._FLAGS]
    command = [compiler.find_clang(), *flags, *more, "-c", source.name, "-o", str(output)]
    return subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=False)


ACCEPTED = {"debian-13-backports": ("helper_not_allowed", "row_not_submitted")}
"""Kernel → the mistakes that it accepts: Linux 7.3 lets algorithms call more helpers, and does not look after records
of a ring buffer."""


def check_said(kernel: str, mistake: Mistake, said: str) -> None:
    """Assert that what a kernel has *said* is explained, or that it is one that accepts the mistake."""
    if mistake.name in ACCEPTED.get(kernel, ()):
        assert said == ""
    else:
        assert said
        mistake.check(said)


def put_captured(kernel: str, said: Mapping[str, str]) -> None:
    """Replace what :func:`captured` returns."""
    folder = FOLDER / "said"
    folder.mkdir(exist_ok=True)
    (folder / f"{kernel}.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


def captured(kernel: str) -> dict[str, str]:
    """Return what libbpf and a kernel said about each file that clang accepts, by name."""
    said: dict[str, str] = json.loads((FOLDER / "said" / f"{kernel}.json").read_text())
    return said
