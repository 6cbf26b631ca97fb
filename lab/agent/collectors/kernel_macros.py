# SPDX-License-Identifier: Apache-2.0
"""Generate the macros that ``bpf/kernel.h`` builds on: the offset and size of each kernel field that the C code names.

The values come from the running kernel's type information.
"""

from __future__ import annotations

import re

from lab.agent.collectors.btf import KernelTypes, TypesError

_MACRO = re.compile(r"\b(READ|READ_BITS|LOAD|LOAD_BITS|LOAD_WITHIN|LOAD_BITS_WITHIN|OFFSET|HAVE)\(")
_COUNTED = re.compile(r"\bARGUMENTS\((\w+)\)")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DEFINITION = re.compile(r"^[ \t]*#[ \t]*define\b(?:.*\\\n)*.*$", re.MULTILINE)


def kernel_macros(source: str, types: KernelTypes) -> str:
    """Return a ``#define`` line for each property of each structure field and tracepoint that ``source`` names.

    Raises:
        TypesError: The kernel lacks a field, and the source does not test with ``HAVE`` whether it exists.
    """
    code = _DEFINITION.sub("", _COMMENT.sub("", source))
    named: dict[tuple[str, str], set[str]] = {}
    for use in _MACRO.finditer(code):
        # The last two arguments of each of these macros are a structure and a field.
        *_rest, structure, field = _arguments(code, use.end())
        named.setdefault((structure, field), set()).add(use[1])
    fields: dict[str, list[str]] = {}
    for structure, field in named:
        fields.setdefault(structure, []).append(field)
    places = {structure: types.places(structure, of_structure) for structure, of_structure in fields.items()}
    lines = []
    for (structure, field), macros in sorted(named.items()):
        place = places[structure].get(field)
        suffix = f"{structure}__{field}"
        optional = "HAVE" in macros or any("HAVE" in named[other] for other in named if other[0] == structure)
        if place is None and not optional:
            raise TypesError(f"this kernel's struct {structure} has no field {field}")
        lines.append(f"#define KERNEL_HAVE_{suffix} {int(place is not None)}")
        if place is None:
            continue
        # A bit field is read as part of the aligned 32-bit word that contains it.
        byte = place.bit // 32 * 4 if place.is_bitfield else place.bit // 8
        lines.append(f"#define KERNEL_OFFSET_{suffix} {byte}")
        lines.append(f"#define KERNEL_BYTES_{suffix} {place.bits // 8}")
        lines.append(f"#define KERNEL_SHIFT_{suffix} {place.bit - byte * 8}")
        lines.append(f"#define KERNEL_BITS_{suffix} {place.bits}")
    for tracepoint in sorted(set(_COUNTED.findall(code))):
        lines.append(f"#define KERNEL_ARGUMENTS_{tracepoint} {types.tracepoint_arguments(tracepoint)}")
    return "\n".join(lines) + "\n"


def _arguments(code: str, start: int) -> list[str]:
    """Return the arguments of a macro call in *code*; *start* is the position after its opening parenthesis."""
    depth, begin, found = 0, start, []
    for position in range(start, len(code)):
        character = code[position]
        if depth == 0 and character in ",)":
            found.append(code[begin:position].strip())
            begin = position + 1
            if character == ")":
                return found
        depth += (character == "(") - (character == ")")
    raise TypesError(f"the macro call has no closing parenthesis: {code[start : start + 40]!r}")
