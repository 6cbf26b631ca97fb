# SPDX-License-Identifier: Apache-2.0
"""What ``lab_cc.h`` offers to congestion controls, from the comments that begin with two asterisks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import require, sentences

HEADERS = Path(__file__).parents[2] / "lab" / "cc" / "include"

_SECTION = re.compile(r"^/\* ==== (.+?) =+", re.MULTILINE)
_DOCUMENTED = re.compile(r"^/\*\*(.*?)\*/\n((?:struct|enum) \w+ \{.*?^\};$|.*?(?=^$))", re.MULTILINE | re.DOTALL)


def require_all(names: Iterable[str]) -> None:
    """End with a message unless every section of the header with documented names has a part in some page."""
    require("lab_cc.h", [name for name, text in _sections().items() if _DOCUMENTED.search(text)], names)


def text(section: str) -> str:
    """The declarations of a section, each with what its comment says."""
    sections = _sections()
    if section not in sections:
        raise SystemExit(f"lab_cc.h has no section {section!r}; it has: {', '.join(sections)}")
    return "\n".join(f"```c\n{shown}\n```\n\n{about}\n" for shown, about in _documented(sections[section]))


def _sections() -> dict[str, str]:
    headers = [path.read_text(encoding="utf-8") for path in sorted(HEADERS.glob("*.h"))]
    parts = _SECTION.split("\n".join(headers))
    return {name.partition(":")[0]: text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _documented(section: str) -> Iterator[tuple[str, str]]:
    for found in _DOCUMENTED.finditer(section):
        about = re.sub(r"^ *\* ?", "", found[1].strip(), flags=re.MULTILINE)
        yield _declaration(found[2]), _linked(sentences(about))


def _declaration(code: str) -> str:
    """What is declared, without the body of a function or what a macro expands to; structures are shown as they are."""
    if code.startswith(("struct ", "enum ")) and "(" not in code.partition("{")[0]:
        return re.sub(r"\t+/\*", "  /*", code.rstrip()).expandtabs(4)
    macro = re.search(r"^#define (\w+)((?:\([^)]*\))?)", code, re.MULTILINE)
    if macro is not None:
        return f"{macro[1]}{macro[2]}"
    head = re.split(r"\n\{|;$", code, maxsplit=1, flags=re.MULTILINE)[0]
    words = r"\b(?:static|extern|__always_inline|__noinline) |__attribute__\(\(\w+\)\) | __ksym"
    return re.sub(words, "", " ".join(head.split()))


def _linked(about: str) -> str:
    """Names of functions in the text as code."""
    return re.sub(r"(?<![`\w])((?:lab_|tcp_|bpf_|minmax_|cong_)\w+\(\))", r"`\1`", about)
