# SPDX-License-Identifier: Apache-2.0
"""The commands' arguments and options, from typer's and argparse's own descriptions of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from lab.cli.app import app
from lab.live.__main__ import parser as trace_parser

from . import markdown_table, require

TRACE = "trace "
COMMON = "common"
PLAIN = "life"
"""A tracer that has the options that nearly all have, and no other."""

OPTION_HEADS = ("Option", "Value", "Default", "Meaning")


def require_all(names: Iterable[str]) -> None:
    """End with a message unless every command has a part in some page."""
    require("the options", [*_commands(), *(TRACE + name for name in _tracers())], names)


def table(command: str) -> str:
    """What a command does and takes: of ``run``, ``image build``, ``trace drops`` …"""
    if command.startswith(TRACE):
        return _tracer(command.removeprefix(TRACE))
    found = _commands()[command]
    text = " ".join((found.help or "").split())
    rows = [_row(parameter) for parameter in found.params if parameter.name != "help"]
    return f"{text}\n" + (f"\n{markdown_table(('Argument', 'Value', 'Default', 'Meaning'), rows)}" if rows else "")


def _commands() -> dict[str, Any]:
    """Name → the command, those of ``lab trace`` aside."""
    return {name: command for name, command in _leaves(typer.main.get_command(app), ()) if name != TRACE.strip()}


def _leaves(command: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(names), command
        return
    for name, child in children.items():
        yield from _leaves(child, (*names, name))


def _row(parameter: Any) -> tuple[str, str, str, str]:
    is_option = parameter.param_type_name == "option"
    shown = parameter.metavar or parameter.name.upper()
    name = ", ".join(f"`{spelling}`" for spelling in parameter.opts) if is_option else f"`{shown}`"
    value = ""
    if is_option and not parameter.is_flag:
        value = f"`{parameter.metavar or ('N' if parameter.type_descriptor.annotation is int else 'TEXT')}`"
    text, _bracket, stated = (parameter.help or "").partition(" [default: ")
    default = stated.rstrip("].")
    if not default:
        default = "**required**" if parameter.required else _default(parameter.default)
    return name, value, default, _sentence(text)


def _default(value: Any) -> str:
    return "" if value is None or value is False or value == () else f"`{value}`"


def _sentence(text: str) -> str:
    """The text of a help line with a capital letter, unless it explains a value (``vm: …``), and a full stop."""
    text = text.strip().rstrip(".")
    explains = text.partition(" ")[0].endswith(":")
    return (text if explains else text[:1].upper() + text[1:]) + ("." if text else "")


def _tracers() -> dict[str, argparse.ArgumentParser]:
    """Collector, or ``list`` → the parser of its command line; older names are not listed."""
    (choices,) = (action for action in trace_parser()._actions if isinstance(action, argparse._SubParsersAction))
    first: dict[int, str] = {}
    for name, parser in choices.choices.items():
        first.setdefault(id(parser), name)
    return {name: parser for name, parser in choices.choices.items() if first[id(parser)] == name}


def _tracer(name: str) -> str:
    """What one tracer does, and the options that are its own; of ``common``, those that tracers share."""
    if name == COMMON:
        return markdown_table(OPTION_HEADS, map(_option, _options(_tracers()[PLAIN])))
    parser = _tracers()[name]
    shared = {(*action.option_strings, action.help) for action in _options(_tracers()[PLAIN])}
    own = [
        action for action in _options(parser) if name == "list" or (*action.option_strings, action.help) not in shared
    ]
    about = _sentence(parser.description or "")
    return f"{about}\n" + (f"\n{markdown_table(OPTION_HEADS, map(_option, own))}" if own else "")


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]


def _option(action: argparse.Action) -> tuple[str, str, str, str]:
    value = f"`{action.metavar or action.dest.upper()}`" if action.nargs is None else ""
    if action.choices:
        value = ", ".join(f"`{choice}`" for choice in action.choices)
    # The default has a column of its own.
    text = re.sub(r"(^|; )default: [^;]+", "", action.help or "").removeprefix("; ")
    default = f"{action.default:g}" if isinstance(action.default, float) else action.default
    spellings = ", ".join(f"`{spelling}`" for spelling in action.option_strings)
    return spellings, value, _default(default), _sentence(text)
