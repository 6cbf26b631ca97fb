# SPDX-License-Identifier: Apache-2.0
"""Load the collectors' BPF programs with bcc."""

from __future__ import annotations

import contextlib
import ctypes
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.agent.collectors.loader import LoaderError
from lab.protocol import Field

RING_BYTES = {"tcp_probe": 16 << 20}
"""Ring buffer sizes; the agent drains them several times a second."""

_TRACEPOINTS = {"tcp_probe": (("tcp:tcp_probe", "tracepoint__tcp__tcp_probe"),)}
_PAGE = 4096


class BccPrograms:
    """All collectors in one module: bcc's headers are then parsed once."""

    def __init__(self, sources: Path, collectors: Sequence[str]) -> None:
        """Compile and verify ``collectors`` from ``sources/<collector>.bpf.c``; takes seconds."""
        # bcc takes a second to import, and hosts without it must still be able to say so.
        from bcc import BPF

        text = "".join((sources / f"{name}.bpf.c").read_text(encoding="utf-8") for name in collectors)
        flags = [f"-I{sources}", "-Wno-everything"]
        flags += [f"-D{name.upper()}_RING_PAGES={RING_BYTES[name] // _PAGE}" for name in collectors]
        printed = io.StringIO()
        try:
            with contextlib.redirect_stderr(printed):
                self._bpf = BPF(text=text, cflags=flags)
        except Exception as exc:  # bcc raises bare Exception
            raise LoaderError(f"bcc cannot load {', '.join(collectors)}: {exc} {printed.getvalue()}".strip()) from exc
        for name in collectors:
            self.detach(name)  # bcc attaches tracepoints at once

    def attach(self, collector: str) -> None:
        for tracepoint, function in _TRACEPOINTS[collector]:
            self._bpf.attach_tracepoint(tp=tracepoint, fn_name=function)

    def detach(self, collector: str) -> None:
        for tracepoint, _function in _TRACEPOINTS[collector]:
            self._bpf.detach_tracepoint(tp=tracepoint)

    def configure(self, collector: str, values: dict[str, int]) -> None:
        table = self._bpf[f"{collector}_config"]
        leaf = table.Leaf(**values)
        table[ctypes.c_int(0)] = leaf

    def lost(self, collector: str) -> int:
        return int(self._bpf[f"{collector}_lost"][ctypes.c_int(0)].value)

    def ring(self, collector: str) -> tuple[int, int]:
        return int(self._bpf[f"{collector}_events"].map_fd), RING_BYTES[collector]

    def layout(self, collector: str) -> tuple[int, list[Field]]:
        table = self._bpf[f"{collector}_events"]
        # bcc derives this ctypes class from the C struct's debug information.
        event = type(table.event(ctypes.cast(ctypes.create_string_buffer(4096), ctypes.c_void_p)))
        fields: list[Field] = []
        for name, kind in event._fields_:
            fields.append({"name": name, "type": _numpy_type(kind), "offset": getattr(event, name).offset})
        return ctypes.sizeof(event), fields


def _numpy_type(kind: Any) -> str:
    if issubclass(kind, ctypes.Array):
        return ("S" if kind._type_ is ctypes.c_char else "V") + str(ctypes.sizeof(kind))
    signed = kind(-1).value < 0
    return f"<{'i' if signed else 'u'}{ctypes.sizeof(kind)}"
