# SPDX-License-Identifier: Apache-2.0
"""Convert the raw rows of a collector into a Parquet file with typed columns."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lab.errors import StoreError
from lab.job.drop_causes import cause_of
from lab.job.protocol import MANAGEMENT_INTERFACE, UNKNOWN_VALUES, CollectorResult, FlowResult, Namespace, Record
from lab.store.files import file_inside

_TYPE = re.compile(r"[<|]?(?:[uif][1248]|V[0-9]{1,4})")
"""The numpy type strings that a collector may use for its fields."""

ADDRESS_FIELDS = ("saddr", "daddr")
"""Fields that hold an IP address in 16 bytes."""
TEXT_FIELDS = ("comm", "ca_name", "name")
"""Fields that hold a text, padded with zero bytes."""

GROWING_COLUMNS = ("time_ns", "snd_nxt", "snd_una")
"""Columns whose values grow from row to row, which are stored as differences."""

COLUMN_UNITS = {
    "time_ns": "nanoseconds since the start of traffic",
    "sock_cookie": "identifies the socket",
    "skaddr": "the kernel's address of the socket",
    "snd_nxt": "sequence number",
    "snd_una": "sequence number",
    "seq": "sequence number",
    "end_seq": "sequence number",
    "ack": "sequence number",
    "snd_cwnd": "segments",
    "ssthresh": "segments; 2147483647 is infinite",
    "packets_out": "segments",
    "sacked_out": "segments",
    "lost_out": "segments",
    "retrans_out": "segments",
    "total_retrans": "segments",
    "snd_wnd": "bytes",
    "rcv_wnd": "bytes",
    "data_len": "bytes",
    "length": "bytes of payload",
    "packet_bytes": "bytes",
    "mss": "bytes",
    "sndbuf": "bytes",
    "wmem_queued": "bytes",
    "rcvbuf": "bytes",
    "rmem_alloc": "bytes",
    "tx_bytes": "bytes",
    "rx_bytes": "bytes",
    "tx_total_bytes": "bytes",
    "rx_total_bytes": "bytes",
    "backlog_bytes": "bytes",
    "backlog_packets": "packets",
    "drops": "packets since recording began",
    "requeues": "packets since recording began",
    "marks": "packets since recording began",
    "window": "as on the wire, not scaled",
    "flags": "FIN SYN RST PSH ACK URG ECE CWR, from bit 0",
    "ecn": "0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE",
    "srtt_us": "microseconds",
    "min_rtt_us": "microseconds",
    "ca_min_rtt_us": "microseconds",
    "pacing_rate": "bytes per second",
    "delivery_rate": "bytes per second",
    "ca_bandwidth": "bytes per second",
    "ca_gain": "1/256",
    "ca_alpha": "1/1024",
    "ca_window_max": "segments",
    "ca_k_ms": "milliseconds",
    "duration_ns": "nanoseconds",
    "rtt_ns": "nanoseconds; 0: no answer",
    "sojourn_ns": "nanoseconds; empty: not known",
    "datagram": "number from 1; empty: not known",
    "length_ns": "nanoseconds",
    "byte_ns": "bytes × nanoseconds",
    "packet_ns": "packets × nanoseconds",
    "most_bytes": "bytes",
    "most_packets": "packets",
    "end_bytes": "bytes",
    "entered_packets": "packets",
    "left_packets": "packets",
    "removed_bytes": "bytes",
    "at_least_ns": "nanoseconds; the bucket ends at twice this value",
    "packets": "packets",
    "again_packets": "packets",
    "ce_packets": "packets",
    "again_bytes": "bytes",
    "bytes_sent": "bytes",
    "bytes_acked": "bytes",
    "bytes_retrans": "bytes",
    "bytes_received": "bytes",
    "rtt": "microseconds",
    "rttvar": "microseconds",
    "min_rtt": "microseconds",
    "snd_mss": "bytes",
    "snd_ssthresh": "segments; 2147483647 is infinite",
    "unacked": "segments",
    "chrono_busy": "jiffies",
    "chrono_rwnd_limited": "jiffies",
    "chrono_sndbuf_limited": "jiffies",
    "chrono_start": "jiffies",
    "fin_timeout": "jiffies",
    "fct_ns": "nanoseconds until the last byte was received; 0: never",
    "connect_ns": "nanoseconds until the connection was established; 0: never",
    "bytes": "bytes",
    "sport": "port",
    "dport": "port",
    "family": "address family: 2 is IPv4, 10 is IPv6",
}
"""Unit of each column, which is stored as the column's metadata ``unit``."""


def read_rows(record_dir: Path, name: str, collector: CollectorResult) -> NDArray[np.void]:
    """Return the rows of collector *name* as a structured array.

    Raises:
        StoreError: The collector's description of its rows is inconsistent, or the file does not match it.
    """
    path = file_inside(record_dir, collector["file"], f"the file of collector {name}")
    row_bytes, rows = collector["row_bytes"], collector["rows"]
    for field in collector["fields"]:
        if not _TYPE.fullmatch(field["type"]):
            raise StoreError(f"collector {name}: field {field['name']!r} has the unknown type {field['type']!r}")
        if not 0 <= field["offset"] <= row_bytes - np.dtype(field["type"]).itemsize:
            raise StoreError(f"collector {name}: field {field['name']!r} lies outside the row")
    if path.stat().st_size != rows * row_bytes:
        expected = f"{rows} rows of {row_bytes} bytes"
        raise StoreError(f"{path} has {path.stat().st_size} bytes, but the record announces {expected}")
    layout = np.dtype(
        {
            "names": [field["name"] for field in collector["fields"]],
            "formats": [field["type"] for field in collector["fields"]],
            "offsets": [field["offset"] for field in collector["fields"]],
            "itemsize": row_bytes,
        }
    )
    return np.fromfile(path, dtype=layout)


@dataclass(frozen=True)
class Context:
    """The parts of a record that are needed to interpret the numbers in a collector's rows."""

    traffic_start_ns: int
    """Start of traffic on the clock of the rows' timestamps."""
    flows: Sequence[FlowResult]
    """The flows, whose addresses and ports tell which rows belong to them."""
    namespaces: Sequence[Namespace]
    """The network namespaces of the nodes."""
    qdiscs: Mapping[tuple[str, str], Sequence[str]]
    """Node and interface → the kinds of queueing disciplines on the interface."""

    @classmethod
    def of(cls, record: Record) -> Context:
        """Return the context of a trial's rows from its record."""
        qdiscs = {
            (port["node"], port["interface"]): [str(qdisc["kind"]) for qdisc in port["qdiscs_after"]]
            for port in record["interfaces"]
        }
        return cls(record["traffic_start_ns"], record["flows"], record["namespaces"], qdiscs)


def rows_to_table(
    rows: NDArray[np.void], context: Context, value_names: Mapping[str, Mapping[str, str]] | None = None
) -> pa.Table:
    """Return *rows* as an Arrow table in order of time.

    The field ``ts_ns`` becomes the column ``time_ns`` (int64, nanoseconds since the start of traffic).  Addresses and
    names become text, and values that the kernel did not know become null.  Values that have a name in *value_names*
    (field → value in decimal → name) become that name.

    These columns are added if the rows have the fields that they need:

    - ``flow``: name of the flow whose data connection the row belongs to; null for other connections, such as iperf3's
      control connection.
    - ``end``: whether the row's ``saddr`` is the ``source`` or the ``destination`` of that flow.
    - ``node`` and ``interface``: where the event happened; null if the kernel did not say.
    - ``cause``: why the packet was dropped.
    """
    rows = _of_the_experiment(rows, context.namespaces)
    names = [name for name in rows.dtype.names or () if not name.startswith("unused")]
    columns: dict[str, Any] = {}
    if "ts_ns" in names:
        time_ns = rows["ts_ns"].astype(np.int64) - np.int64(context.traffic_start_ns)
        order = np.argsort(time_ns, kind="stable")
        rows, columns["time_ns"] = rows[order], time_ns[order]
    elif "time_ns" in names:
        columns["time_ns"] = rows["time_ns"].astype(np.int64)
    if {"saddr", "daddr", "sport", "dport"} <= set(names):
        columns["flow"], columns["end"] = _flow_columns(rows, context.flows)
    if "netns" in names:
        columns |= _place_columns(rows, context.namespaces)
    for name in names:
        if name in ("ts_ns", "time_ns", "netns", "ifindex"):
            continue
        column = np.ascontiguousarray(rows[name])
        if value_names is not None and name in value_names:
            columns[name] = _named_column(column, value_names[name])
            continue
        if name in UNKNOWN_VALUES:
            columns[name] = pa.array(column, mask=column == UNKNOWN_VALUES[name])
            continue
        if name in ADDRESS_FIELDS and column.dtype == np.dtype("V16"):
            columns[name] = _address_column(column)
        elif name in TEXT_FIELDS and column.dtype.kind == "V":
            columns[name] = _text_column(column)
        elif column.dtype.kind == "V":
            columns[name] = pa.array([value.tobytes() for value in column], pa.binary(column.dtype.itemsize))
        else:
            columns[name] = column
    if {"reason", "location", "node", "interface"} <= columns.keys():
        columns["cause"] = _cause_column(columns, context)
    if {"datagram", "flow"} <= columns.keys():
        # The payload of other senders holds no number where iperf3 writes it.
        is_numbered = columns["flow"].is_valid()
        columns["datagram"] = pc.if_else(is_numbered, columns["datagram"], pa.scalar(None, columns["datagram"].type))
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"unit": COLUMN_UNITS[name]} if name in COLUMN_UNITS else None)
        for name, array in zip(columns, arrays, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def write_table(table: pa.Table, path: Path) -> None:
    """Write *table* to *path* as Parquet.  The same table always gives the same bytes."""
    # Numbers that grow from row to row compress several times better as differences.
    growing = [name for name in GROWING_COLUMNS if name in table.column_names]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=3,
        version="2.6",
        row_group_size=1 << 20,
        use_dictionary=[name for name in table.column_names if name not in growing],
        column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
    )


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table in *path*, with the named *columns* in this order, or with all columns.

    A single file needs no data set of Arrow, which takes longer than reading a small file.  No threads are started: the
    columns of a trial take about a millisecond to decode, and a process without threads can be forked.

    Raises:
        StoreError: The file is missing or damaged, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=None if columns is None else list(columns), use_threads=False)
    except (OSError, pa.ArrowException) as exc:
        raise StoreError(f"cannot read {path}: {exc}") from exc
    if columns is None:
        return table
    if missing := [name for name in columns if name not in table.column_names]:
        raise StoreError(f"cannot read {path}: it has no column {', '.join(missing)}")
    return table.select(list(columns))


def _distinct(addresses: NDArray[np.void]) -> tuple[list[str], NDArray[np.intp]]:
    """Return the distinct 16-byte *addresses* as text, and for each row the index of its address among them."""
    distinct, inverse = _distinct_bytes(addresses)
    return [_address_text(raw) for raw in distinct], inverse


def _distinct_bytes(values: NDArray[np.void]) -> tuple[list[bytes], NDArray[np.intp]]:
    """Return the distinct 16-byte *values*, and for each row the index of its value among them."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return _distinct_values(pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [None, buffer]))


def _distinct_values(values: pa.Array) -> tuple[list[Any], NDArray[np.intp]]:
    """Return the distinct *values* in order of appearance, and for each row the index of its value among them."""
    # Arrow finds distinct values by hashing, which is many times faster than numpy's sorting.
    encoded = values.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.intp)


def _address_text(raw: bytes) -> str:
    address = ipaddress.IPv6Address(raw)
    return str(address.ipv4_mapped or address)


def _address_column(addresses: NDArray[np.void]) -> pa.DictionaryArray:
    return _dictionary(*_distinct(addresses))


def _flow_columns(rows: NDArray[np.void], flows: Sequence[FlowResult]) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    local, local_index = _distinct(np.ascontiguousarray(rows["saddr"]))
    remote, remote_index = _distinct(np.ascontiguousarray(rows["daddr"]))
    flow_number = np.full(len(rows), -1, dtype=np.int32)
    end = np.zeros(len(rows), dtype=np.int32)
    for number, flow in enumerate(flows):
        source = (_canonical(flow["source_address"]), flow["source_port"])
        destination = (_canonical(flow["destination_address"]), flow["destination_port"])
        for side, (own, peer) in enumerate(((source, destination), (destination, source))):
            if own[0] in local and peer[0] in remote:
                matching = (local_index == local.index(own[0])) & (remote_index == remote.index(peer[0]))
                matching &= _at_port(rows["sport"], own[1]) & _at_port(rows["dport"], peer[1])
                flow_number[matching], end[matching] = number, side
    names = pa.array([flow["name"] for flow in flows], pa.string())
    none = flow_number < 0
    return (
        pa.DictionaryArray.from_arrays(pa.array(flow_number, mask=none), names),
        pa.DictionaryArray.from_arrays(pa.array(end, mask=none), pa.array(["source", "destination"], pa.string())),
    )


def _at_port(ports: NDArray[Any], port: int) -> NDArray[np.bool_]:
    """Return which *ports* match *port*.  0 matches all ports: it stands for the many ports of short flows."""
    found: NDArray[np.bool_] = (ports == port) | (port == 0)
    return found


def _of_the_experiment(rows: NDArray[np.void], namespaces: Sequence[Namespace]) -> NDArray[np.void]:
    """Return *rows* without those of packets at the hosts' management interfaces."""
    if not {"netns", "ifindex"} <= set(rows.dtype.names or ()):
        return rows
    keep = np.ones(len(rows), dtype=np.bool_)
    for space in namespaces:
        for index, name in space["interfaces"].items():
            if name == MANAGEMENT_INTERFACE:
                keep &= (rows["netns"] != space["number"]) | (rows["ifindex"] != int(index))
    return rows[keep]


def _place_columns(rows: NDArray[np.void], namespaces: Sequence[Namespace]) -> dict[str, pa.DictionaryArray]:
    """Return the column ``node`` and, if the rows have an ifindex, ``interface``; null where they are not known."""
    netns = rows["netns"].astype(np.uint64)
    columns = {"node": _looked_up(netns, {space["number"]: space["node"] for space in namespaces})}
    if "ifindex" in (rows.dtype.names or ()):
        interfaces = {
            space["number"] << 32 | int(index): name
            for space in namespaces
            for index, name in space["interfaces"].items()
        }
        columns["interface"] = _looked_up(netns << np.uint64(32) | rows["ifindex"].astype(np.uint64), interfaces)
    return columns


def _looked_up(keys: NDArray[np.uint64], names: Mapping[int, str]) -> pa.DictionaryArray:
    distinct, inverse = _distinct_values(pa.array(keys))
    return _dictionary([names.get(key) for key in distinct], inverse)


def _dictionary(texts: Sequence[str | None], inverse: NDArray[np.intp]) -> pa.DictionaryArray:
    """Return a column with ``texts[inverse[i]]`` in row i; None becomes null.

    Two of *texts* may be equal, but a dictionary array must hold each text only once.
    """
    distinct = list(dict.fromkeys(text for text in texts if text is not None))
    position = np.array([-1 if text is None else distinct.index(text) for text in texts], dtype=np.int32)
    index = position[inverse.reshape(-1)] if len(texts) else np.zeros(0, dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(index, mask=index < 0), pa.array(distinct, pa.string()))


def _named_column(values: NDArray[Any], names: Mapping[str, str]) -> pa.DictionaryArray:
    distinct, inverse = _distinct_values(pa.array(values))
    # An empty name stands for a value that is not there.
    return _dictionary([names.get(str(value), str(value)) or None for value in distinct], inverse)


def _text_column(values: NDArray[np.void]) -> pa.DictionaryArray:
    distinct, inverse = _distinct_bytes(values)
    return _dictionary([raw.partition(b"\0")[0].decode(errors="replace") for raw in distinct], inverse)


def _cause_column(columns: Mapping[str, Any], context: Context) -> pa.DictionaryArray:
    keys = zip(*(columns[name].to_pylist() for name in ("reason", "location", "node", "interface")), strict=True)

    @functools.cache
    def cause(reason: str, location: str, node: str, interface: str) -> str:
        return cause_of(reason, location, context.qdiscs.get((node, interface), ()))

    return pa.array([cause(*key) for key in keys], pa.string()).dictionary_encode()


def _canonical(address: str) -> str:
    """Return *address* in the form that :func:`_address_text` gives it; a text that is no address stays as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)
