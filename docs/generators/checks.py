# SPDX-License-Identifier: Apache-2.0
"""The checks of every trial, from the calls of ``combine()`` in ``lab/analysis`` that make them."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import lab

from . import markdown_table

LAB = Path(lab.__file__).parent
SHOWN = ("id", "title", "threshold", "meaning")


def table(part: str) -> str:
    """Return the table of the checks in the module ``checks/<part>.py``, in the order of the source."""
    found = [check for module in _modules(part) for check in _checks(module)]
    if not found:
        raise SystemExit(f"lab/analysis has no checks of {part!r}")
    rows = [
        (f"`{check['id']}`{{ #{check['id']} }}", check["title"], check["threshold"], check["meaning"])
        for check in found
    ]
    return markdown_table(("Check", "Title in the report", "Verdict", "Why it matters"), rows)


def _modules(part: str) -> Iterator[ModuleType]:
    """Yield the module ``checks/<part>.py``."""
    for path in sorted((LAB / "analysis").rglob("*.py")):
        if path.parent.name == "checks" and path.stem == part:
            yield importlib.import_module(".".join(path.relative_to(LAB.parent).with_suffix("").parts))


def _checks(module: ModuleType) -> Iterator[dict[str, str]]:
    tree = ast.parse(inspect.getsource(module))
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for call in _calls(function, "combine"):
            names = {
                name.id for value in _arguments(call).values() for name in ast.walk(value) if isinstance(name, ast.Name)
            }
            parameters = {argument.arg for argument in function.args.args}
            if not names & parameters:
                yield _evaluated(call, module, {})
                continue
            # A function that several checks share: once for each of its callers.
            for caller in _calls(tree, function.name):
                given = dict(zip([argument.arg for argument in function.args.args], caller.args, strict=False))
                given |= {str(keyword.arg): keyword.value for keyword in caller.keywords}
                wanted = {
                    name: _value(node, module, {}) for name, node in given.items() if isinstance(node, ast.Constant)
                }
                yield _evaluated(call, module, wanted)


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _arguments(call: ast.Call) -> dict[str, ast.expr]:
    """The arguments of ``combine(id, title, findings, *, threshold, meaning)`` that are shown."""
    given = dict(zip(("id", "title"), call.args, strict=False))
    given |= {str(keyword.arg): keyword.value for keyword in call.keywords}
    return {name: given[name] for name in SHOWN}


def _evaluated(call: ast.Call, module: ModuleType, values: dict[str, Any]) -> dict[str, str]:
    return {name: str(_value(node, module, values)) for name, node in _arguments(call).items()}


def _value(node: ast.expr, module: ModuleType, values: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), module.__name__, "eval"), {**vars(module), **values})
