# SPDX-License-Identifier: Apache-2.0
"""The public functions and classes of the package, from their signatures and docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from pydantic import BaseModel

import lab
from lab.api.results import Run
from lab.api.running import run as run_function
from lab.errors import LabError
from lab.experiment.schema.fields import fields_of

from . import markdown_table, require, sentences

ERRORS = "errors"
_WIDTH = 84
ALIASES = {"Trials": "str | Iterable[str] | None"}
"""Name of a type in the source → what it stands for."""


def require_all(names: Iterable[str]) -> None:
    """End with a message unless every public name has a part in some page."""
    there = list(names)
    require("the Python interface", [name for name in lab.__all__ if not _is_error(name)], there)
    require("the Python interface", [ERRORS], there)


def text(name: str) -> str:
    """What is public under a name: a function or class, or all errors."""
    if name == ERRORS:
        rows = [
            (f"`lab.{name}`", str(error.exit_code), _first(error))
            for name in lab.__all__
            if _is_error(name)
            for error in (getattr(lab, name),)
        ]
        return markdown_table(("Error", "Exit code of commands", "What happened"), rows)
    if name == "Run":
        return _class(Run)
    if name == "run":
        return _function("lab.run", run_function)
    found = getattr(lab, name)
    return _function(f"lab.{name}", found) if inspect.isfunction(found) else _model(f"lab.{name}", found)


def _is_error(name: str) -> bool:
    found = getattr(lab, name)
    return isinstance(found, type) and issubclass(found, LabError)


def _class(cls: type) -> str:
    members = [(name, member) for name, member in vars(cls).items() if not name.startswith("_")]
    values = [
        (f"`{name}`", _one_line(_docstring(member)))
        for name, member in members
        if isinstance(member, property | cached_property)
    ]
    methods = [_function(f"run.{name}", member) for name, member in members if inspect.isfunction(member)]
    about = "\n\n".join(_paragraphs(inspect.getdoc(cls) or ""))
    return "\n".join([about, "", markdown_table(("Property", "What it is"), values), *methods])


def _model(name: str, model: type[BaseModel]) -> str:
    """The fields of a model as a call: those that it needs, and the names of the others."""
    fields = fields_of(model)
    needed = [f"{field}=…" for field, about in fields.items() if about.is_required()]
    others = ", ".join(f"`{field}`" for field, about in fields.items() if not about.is_required())
    return f"```python\n{name}({', '.join(needed)}, **others)\n```\n\nThe other fields are {others}.\n"


def _docstring(member: Any) -> str:
    function = member.fget if isinstance(member, property) else member.func
    return inspect.getdoc(function) or ""


def _function(name: str, function: Callable[..., Any]) -> str:
    about = "\n\n".join(_paragraphs(inspect.getdoc(function) or ""))
    return f"```python\n{_signature(name, function)}\n```\n\n{about}\n"


def _signature(name: str, function: Callable[..., Any]) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    arguments = [text for text in _arguments(tree.args) if text != "self"]
    returned = f" -> {ast.unparse(tree.returns)}" if tree.returns is not None else ""
    line = f"{name}({', '.join(arguments)}){returned}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), f"){returned}"])


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    before: list[ast.expr | None] = [None] * (len(arguments.args) - len(arguments.defaults))
    for argument, default in zip(arguments.args, [*before, *arguments.defaults], strict=True):
        yield _argument(argument, default)
    if arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    end = f" = {ast.unparse(default)}" if default is not None else ""
    if argument.annotation is None:
        return argument.arg + end
    annotation = ast.unparse(argument.annotation)
    return f"{argument.arg}: {ALIASES.get(annotation, annotation)}{end}"


def _paragraphs(docstring: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring; those of the section Raises become a list."""
    said, _heading, raised = docstring.partition("\nRaises:\n")
    for paragraph in said.strip().split("\n\n"):
        yield _one_line(paragraph)
    if raised:
        items = re.split(r"\n(?=\S)", textwrap.dedent(raised).strip())
        yield "\n".join(f"- Raises `{item.partition(':')[0]}`: {_one_line(item.partition(':')[2])}" for item in items)


def _one_line(paragraph: str) -> str:
    # :class:`~lab.errors.StoreError` is StoreError.
    return sentences(re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", paragraph))


def _first(cls: type) -> str:
    return _one_line((inspect.getdoc(cls) or "").partition("\n\n")[0])
