# SPDX-License-Identifier: Apache-2.0
"""Write those parts of the pages that are taken from the code: ``python docs/generate.py [--check]``.

A part begins with a comment that says what it is, such as ``<!-- fields of Link -->``, and ends with ``<!-- end -->``;
what stands between them is replaced.  ``--check`` writes nothing, names the pages that are out of date, and exits with
1 if there are any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from generators import checks, columns, commands, exit_codes, expectations, fields, header, metrics, python

HERE = Path(__file__).parent

KINDS: dict[str, Callable[[str], str]] = {
    "checks": checks.table,
    "columns": columns.table,
    "error classes": exit_codes.errors,
    "exit codes": exit_codes.table,
    "expectation names": expectations.table,
    "fields": fields.table_of,
    "header": header.text,
    "metrics": metrics.table,
    "options": commands.table,
    "python": python.text,
}
"""First words of a part's comment → what writes it, given the rest of the comment (what follows ``of``)."""

PART = re.compile(rf"(<!-- ({'|'.join(KINDS)})(?: of ([\w'. -]+?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def generated(page: str) -> str:
    """The page with all of its generated parts made anew."""
    return PART.sub(lambda match: match[1] + KINDS[match[2]](match[3] or "") + match[4], page)


def main() -> int:
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(HERE.rglob("*.md"))}
    parts = [(kind, what or "") for page in pages.values() for _begin, kind, what, _end in PART.findall(page)]
    fields.require_all(what for kind, what in parts if kind == "fields")
    columns.require_all(what for kind, what in parts if kind == "columns")
    commands.require_all(what for kind, what in parts if kind == "options")
    header.require_all(what for kind, what in parts if kind == "header")
    python.require_all(what for kind, what in parts if kind == "python")
    stale = {path: after for path, page in pages.items() if (after := generated(page)) != page}
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(HERE.parent)} is out of date: run python docs/generate.py", file=sys.stderr)
        return int(bool(stale))
    for path, page in stale.items():
        path.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
