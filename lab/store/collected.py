# SPDX-License-Identifier: Apache-2.0
"""A collector's raw rows → one Parquet file with typed columns."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lab.errors import StoreError
from lab.protocol import CollectorResult, FlowResult
from lab.store.files import file_inside

_TYPE = re.compile(r"[<|]?(?:[uif][1248]|V[0-9]{1,4})")

ADDRESS_FIELDS = ("saddr", "daddr")

GROWING_COLUMNS = ("time_ns", "snd_nxt", "snd_una")

COLUMN_UNITS = {
    "time_ns": "nanoseconds since the start of traffic",
    "sock_cookie": "identifies the socket",
    "snd_nxt": "sequence number",
    "snd_una": "sequence number",
    "snd_cwnd": "segments",
    "ssthresh": "segments; 2147483647 is infinite",
    "snd_wnd": "bytes",
    "srtt_us": "microseconds",
    "rcv_wnd": "bytes",
    "data_len": "bytes",
    "sport": "port",
    "dport": "port",
    "family": "address family: 2 is IPv4, 10 is IPv6",
}
"""Kept with each column as the metadata ``unit``."""


def read_rows(record_dir: Path, name: str, collector: CollectorResult) -> NDArray[np.void]:
    """Return the rows of collector *name* as a structured array.

    Raises:
        StoreError: The description does not make sense or the file does not match it.
    """
    path = file_inside(record_dir, collector["file"], f"the file of collector {name}")
    row_bytes, rows = collector["row_bytes"], collector["rows"]
    for field in collector["fields"]:
        if not _TYPE.fullmatch(field["type"]):
            raise StoreError(f"collector {name}: field {field['name']!r} has the unknown type {field['type']!r}")
        if not 0 <= field["offset"] <= row_bytes - np.dtype(field["type"]).itemsize:
            raise StoreError(f"collector {name}: field {field['name']!r} lies outside of its row")
    if path.stat().st_size != rows * row_bytes:
        raise StoreError(f"{path} has {path.stat().st_size} bytes, but {rows} rows of {row_bytes} bytes were announced")
    layout = np.dtype(
        {
            "names": [field["name"] for field in collector["fields"]],
            "formats": [field["type"] for field in collector["fields"]],
            "offsets": [field["offset"] for field in collector["fields"]],
            "itemsize": row_bytes,
        }
    )
    return np.fromfile(path, dtype=layout)


def rows_to_table(rows: NDArray[np.void], traffic_start_ns: int, flows: Sequence[FlowResult]) -> pa.Table:
    """Return *rows* as an Arrow table in order of time.

    ``ts_ns`` becomes ``time_ns`` (int64, from the start of traffic), addresses become text, and a column
    ``flow`` holds the name of the flow whose data socket the row belongs to (null: some other socket, for
    example iperf3's control connection).
    """
    names = rows.dtype.names or ()
    columns: dict[str, Any] = {}
    if "ts_ns" in names:
        time_ns = rows["ts_ns"].astype(np.int64) - np.int64(traffic_start_ns)
        order = np.argsort(time_ns, kind="stable")
        rows, columns["time_ns"] = rows[order], time_ns[order]
    if {"saddr", "daddr", "sport", "dport"} <= set(names):
        columns["flow"] = _flow_column(rows, flows)
    for name in names:
        if name == "ts_ns":
            continue
        column = np.ascontiguousarray(rows[name])
        if name in ADDRESS_FIELDS and column.dtype == np.dtype("V16"):
            columns[name] = _address_column(column)
        elif column.dtype.kind == "V":
            columns[name] = pa.array([value.tobytes() for value in column], pa.binary(column.dtype.itemsize))
        else:
            columns[name] = column
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"unit": COLUMN_UNITS[name]} if name in COLUMN_UNITS else None)
        for name, array in zip(columns, arrays, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def write_table(table: pa.Table, path: Path) -> None:
    """Write *table* to *path*; the same table gives the same bytes."""
    # Counters that grow with every row compress several times better as differences.
    growing = [name for name in GROWING_COLUMNS if name in table.column_names]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=6,
        version="2.6",
        row_group_size=1 << 20,
        use_dictionary=[name for name in table.column_names if name not in growing],
        column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
    )


def _distinct(addresses: NDArray[np.void]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct 16-byte *addresses* as text, and which of them each row has."""
    halves = addresses.view(">u8").reshape(-1, 2)
    values, index = np.unique(halves, axis=0, return_inverse=True)
    return [_address_text(value.tobytes()) for value in values], index.reshape(-1).astype(np.int64)


def _address_text(raw: bytes) -> str:
    address = ipaddress.IPv6Address(raw)
    return str(address.ipv4_mapped or address)


def _address_column(addresses: NDArray[np.void]) -> pa.DictionaryArray:
    texts, index = _distinct(addresses)
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), pa.array(texts, pa.string()))


def _flow_column(rows: NDArray[np.void], flows: Sequence[FlowResult]) -> pa.DictionaryArray:
    sources, source = _distinct(np.ascontiguousarray(rows["saddr"]))
    destinations, destination = _distinct(np.ascontiguousarray(rows["daddr"]))
    which = np.full(len(rows), -1, dtype=np.int32)
    for number, flow in enumerate(flows):
        try:
            ends = (
                sources.index(_canonical(flow["source_address"])),
                destinations.index(_canonical(flow["destination_address"])),
            )
        except ValueError:
            continue
        ours = (source == ends[0]) & (destination == ends[1])
        ours &= (rows["sport"] == flow["source_port"]) & (rows["dport"] == flow["destination_port"])
        which[ours] = number
    names = pa.array([flow["name"] for flow in flows], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(which, mask=which < 0), names)


def _canonical(address: str) -> str:
    """Return the text that :func:`_address_text` would give for *address*; any other text unchanged."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)
