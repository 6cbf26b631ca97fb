# SPDX-License-Identifier: Apache-2.0
"""Find out which functions of the kernel a compiled algorithm calls: what a source hides behind macros is seen here.

The object comes from a student, so that any number in it may be wrong.
"""

from __future__ import annotations

import base64
import fnmatch
import struct
import zlib
from collections.abc import Iterable, Sequence

from lab.errors import InputError
from lab.job.protocol import Job

__all__ = ["NO_MODULES", "check_calls", "undefined_symbols"]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOLS = 2
"""SHT_SYMTAB of include/uapi/linux/elf.h."""
_MOST_BYTES = 16 << 20
_MOST_NAME = 256


NO_MODULES = "found a congestion control that is a kernel module, which this assignment does not allow"


def check_calls(jobs: Iterable[Job], patterns: Sequence[str]) -> None:
    """Look at the algorithms of *jobs*.

    Raises:
        InputError: One calls a function of the kernel that one of *patterns* stands for (``tcp_reno_*``).
    """
    seen = set[str]()
    for job in jobs if patterns else ():
        for algorithm in job.get("algorithms", ()):
            if algorithm["object"] in seen:
                continue
            seen.add(algorithm["object"])
            data = zlib.decompressobj().decompress(base64.b64decode(algorithm["object"]), _MOST_BYTES)
            for name in undefined_symbols(data):
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                    listed = ", ".join(patterns)
                    raise InputError(
                        f"{algorithm['name']}: found a call of {name}, which this assignment does not allow; expected "
                        f"none of {listed}"
                    )


def undefined_symbols(data: bytes) -> list[str]:
    """Return the names that an object uses and does not define; empty if it is damaged, which loading it will tell."""
    try:
        head = _HEADER.unpack_from(data)
        table, width, count = head[6], head[11], head[12]
        parts = [_SECTION.unpack_from(data, table + number * width) for number in range(count)]
        found = []
        for _name, kind, _flags, _address, offset, size, link, *_rest in parts:
            if kind != _SYMBOLS:
                continue
            texts = data[parts[link][4] : parts[link][4] + parts[link][5]]
            for at in range(offset, min(offset + size, len(data)) - _SYMBOL.size + 1, _SYMBOL.size):
                name, _info, _other, section, _value, _size = _SYMBOL.unpack_from(data, at)
                if section == 0 and name:
                    found.append(texts[name : name + _MOST_NAME].partition(b"\0")[0].decode(errors="replace"))
        return found
    except (struct.error, IndexError):
        return []
