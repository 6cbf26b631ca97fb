# SPDX-License-Identifier: Apache-2.0
"""Dependencies point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lab"
ALLOWED = {
    "errors": set(),
    "protocol": set(),
    "mailbox": set(),
    "units": set(),
    "spec": {"errors", "protocol", "units"},
    "plan": {"errors", "protocol", "units", "spec"},
    "agent": {"protocol", "mailbox"},
    "image": {"errors"},
    "engine": {"errors", "protocol", "mailbox", "image"},
    "store": {"errors", "protocol"},
    "analysis": {"protocol", "units"},
    "report": {"errors", "protocol", "units", "store", "analysis"},
    "runner": {"errors", "plan", "engine", "store"},
    "verify": {"errors", "plan", "engine", "store", "runner"},
    "progress": {"errors", "plan"},
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "lab" else {node.module}
    return found


FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name not in ("__init__.py", "cli.py")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_imports_only_from_below(path: Path) -> None:
    part = part_of(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("lab.")}
    assert used - {part} <= ALLOWED[part]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_agent_knows_mininet_and_bcc(path: Path) -> None:
    if part_of(path) != "agent":
        assert not {name.split(".")[0] for name in imports(path)} & {"mininet", "bcc"}
