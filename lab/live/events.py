# SPDX-License-Identifier: Apache-2.0
"""Decode a collector's raw rows into values that are named like the columns of an experiment's Parquet files."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lab.agent.collectors.names import names_of, symbols
from lab.agent.collectors.registry import COLLECTORS
from lab.agent.collectors.ringbuffer import HEADER_BYTES
from lab.job.drop_causes import cause_of
from lab.job.protocol import UNKNOWN_VALUES, Field
from lab.live.timestamps import Timestamps

Row = dict[str, Any]

_CODES = {"<u8": "Q", "<u4": "I", "<u2": "H", "<u1": "B"}
_ADDRESSES = ("saddr", "daddr")
_TEXTS = ("comm", "ca_name")


class Decoder:
    """A decoder of one collector's rows."""

    def __init__(
        self,
        name: str,
        fields: Sequence[Field],
        row_bytes: int,
        names: Mapping[str, Mapping[int, str]],
        clock: Timestamps,
    ) -> None:
        """Prepare to decode rows of ``row_bytes`` with these ``fields``.

        ``names`` are the names of values, given as column → value → name.  ``clock`` gives the column ``time_ns`` and,
        for dates, the column ``time``.
        """
        self._struct = struct.Struct(_layout(fields, row_bytes))
        self._columns = [field["name"] for field in fields]
        self._names = names
        self._clock = clock
        self._qdiscs: Mapping[str, Sequence[str]] = {}
        self.name = name

    def with_qdiscs(self, qdiscs: Mapping[str, Sequence[str]]) -> Decoder:
        """Set interface → kinds of its queueing disciplines, from which the cause of a drop is inferred."""
        self._qdiscs = qdiscs
        return self

    def rows(self, raw: bytes) -> Iterator[Row]:
        """Decode all rows in *raw*."""
        interface_name.cache_clear()  # Since the last rows, interfaces may have been renamed, added or removed.
        for values in self._struct.iter_unpack(raw):
            yield self.row(dict(zip(self._columns, values, strict=True)))

    def row(self, values: Row) -> Row:
        """Decode one row whose raw values are given by field name."""
        row: Row = {}
        if "ts_ns" in values:
            row["time_ns"] = self._clock.time_ns(values["ts_ns"])
            self._clock.dated(row)
        for column, value in values.items():
            if column in _ADDRESSES:
                row[column] = address_text(value)
            elif column in _TEXTS:
                row[column] = value.partition(b"\0")[0].decode(errors="replace")
            elif column in self._names:
                row[column] = self._names[column].get(value, str(value))
            elif column == "location":
                row[column] = _symbol(value)
            elif column == "ifindex":
                row["interface"] = interface_name(value, values["netns"])
            elif column == "datagram":
                continue  # Outside an experiment, nobody knows whether iperf3 has sent the datagram.
            elif column in UNKNOWN_VALUES and value == UNKNOWN_VALUES[column]:
                row[column] = None
            elif column != "ts_ns" and not column.startswith("unused"):
                row[column] = value
        if self.name == "drops":
            row["cause"] = cause_of(row["reason"], row["location"], self._qdiscs.get(row["interface"], ()))
        return row


def names_for(name: str, kernel: Any) -> dict[str, dict[int, str]]:
    """Return column → value → name for a collector; ``kernel`` looks up an enum of the running kernel by its name."""
    return {field: names_of(enum, kernel) for field, enum in COLLECTORS[name].names}


@functools.lru_cache(maxsize=65536)
def address_text(raw: bytes) -> str:
    """Format a 16-byte IPv6 address; an IPv4-mapped address is formatted as IPv4."""
    address = ipaddress.IPv6Address(raw)
    return str(address.ipv4_mapped or address)


@functools.lru_cache(maxsize=4096)
def _symbol(address: int) -> str:
    return symbols([address])[address]


@functools.cache
def _own_netns() -> int:
    return os.stat("/proc/self/ns/net").st_ino


@functools.lru_cache(maxsize=4096)
def interface_name(index: int, netns: int) -> str:
    """Return the name of an interface in this process's network namespace.

    An interface in another namespace is given as ``NETNS/INDEX``; index 0 means no interface and gives an empty string.
    """
    if index == 0:
        return ""
    if netns == _own_netns():
        try:
            return socket.if_indextoname(index)
        except OSError:  # The interface no longer exists.
            return str(index)
    return f"{netns}/{index}"


def _layout(fields: Iterable[Field], row_bytes: int) -> str:
    layout = f"<{HEADER_BYTES}x"
    for field in fields:
        padding = field["offset"] + HEADER_BYTES - struct.calcsize(layout)
        code = f"{field['type'][1:]}s" if field["type"].startswith("V") else _CODES[field["type"]]
        layout += ("x" * padding) + code
    return layout + "x" * (row_bytes - struct.calcsize(layout))
