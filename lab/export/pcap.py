# SPDX-License-Identifier: Apache-2.0
"""Export what the collector ``packets`` recorded as a pcapng file, which tcpdump and Wireshark read.

The collector records the parts of a TCP segment's headers that tell what happened, where the segment reaches the
receiver's TCP.  Each packet of the file consists of an IP and a TCP header made from them, and of no payload: its
original length is that of these headers with the payload.  The headers have no TCP options, since the collector does
not record them.  The identification is 0, the TTL is 64, and the TCP checksum is right for a segment without payload
and otherwise 0.

Format: draft-ietf-opsawg-pcapng (section header, interface descriptions, enhanced packets), little-endian, with times
in nanoseconds.  Headers: RFC 791, RFC 8200, RFC 9293.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.errors import InputError, StoreError
from lab.store.run import Run
from lab.store.trial import TrialResult

PACKETS = "packets"
COLUMNS = (
    "time_ns", "node", "interface", "saddr", "daddr", "sport", "dport", "seq", "ack", "length", "window", "flags",
    "ecn",
)  # fmt: skip

START_S = 1000
"""The time in the file, in seconds, at which traffic starts.  What happens earlier needs a time, too, and the times of
pcapng are not negative."""

LINKTYPE_IPV4, LINKTYPE_IPV6 = 228, 229
"""Packets that begin with an IP header.  LINKTYPE_RAW, which is for both versions, would not do: libpcap refuses a file
with several interfaces of this type, because it compares its own number for it (DLT_RAW, 12) with that of the file."""
_TCP = 6
_TTL = 64
_TCP_HEADER = 20
_IPV4_HEADER, _IPV6_HEADER = 20, 40
_LARGEST_LENGTH = 65535

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
"""Types of blocks."""
_COMMENT, _APPLICATION, _NAME, _RESOLUTION = 1, 4, 2, 9
"""Options: opt_comment, shb_userappl, if_name, if_tsresol."""

_PACKET_FIELDS = [
    ("type", "<u4"), ("total", "<u4"), ("interface", "<u4"), ("time_high", "<u4"), ("time_low", "<u4"),
    ("captured", "<u4"), ("original", "<u4"),
]  # fmt: skip
_IPV4_FIELDS = [
    ("version", "u1"), ("tos", "u1"), ("ip_length", ">u2"), ("identification", ">u2"), ("fragment", ">u2"),
    ("ttl", "u1"), ("protocol", "u1"), ("ip_checksum", ">u2"), ("source", "V4"), ("destination", "V4"),
]  # fmt: skip
_IPV6_FIELDS = [
    ("class_and_label", ">u4"), ("ip_length", ">u2"), ("next", "u1"), ("hops", "u1"), ("source", "V16"),
    ("destination", "V16"),
]  # fmt: skip
_TCP_FIELDS = [
    ("sport", ">u2"), ("dport", ">u2"), ("seq", ">u4"), ("ack", ">u4"), ("data_offset", "u1"), ("flags", "u1"),
    ("window", ">u2"), ("checksum", ">u2"), ("urgent", ">u2"),
]  # fmt: skip
_END_FIELDS = [("total_again", "<u4")]
_IPV4 = np.dtype(_PACKET_FIELDS + _IPV4_FIELDS + _TCP_FIELDS + _END_FIELDS)
_IPV6 = np.dtype(_PACKET_FIELDS + _IPV6_FIELDS + _TCP_FIELDS + _END_FIELDS)


def require(trial: TrialResult) -> None:
    """Raise an error if the trial ran without the collector ``packets``.

    Raises:
        InputError: It did; the message says how to record packets.
    """
    if PACKETS not in trial.record["collectors"]:
        raise InputError(
            f"trial {trial.id} ran without the collector packets, so there is nothing to export; add collect: "
            "{packets: {}} to the experiment"
        )


def files(_run: Run, trial: TrialResult) -> Iterator[tuple[str, bytes]]:
    """Yield the file of the trial, with its name."""
    lost = trial.record["collectors"][PACKETS]["lost"]
    comment = (
        f"Trial {trial.id}: TCP segments as they reached the receiver's TCP. Headers only, without "
        f"options; traffic starts at {START_S} s; {lost} segments were not recorded."
    )
    yield f"{trial.id}.pcapng", pcapng(trial.collected(PACKETS, COLUMNS), comment)


def pcapng(table: pa.Table, comment: str) -> bytes:
    """Return rows of the collector ``packets`` (:data:`COLUMNS`) as a pcapng file.

    Raises:
        StoreError: A row is too early for the file, or an address is none.
    """
    columns = {name: table.column(name).to_numpy() for name in table.column_names if name not in _TEXTS}
    nodes, interfaces, sources, destinations = (_texts(table, name) for name in _TEXTS)
    time_ns = columns["time_ns"].astype(np.int64) + START_S * 10**9
    if len(time_ns) and time_ns.min() < 0:
        raise StoreError(f"found a packet more than {START_S} s before the start of traffic")
    places = list(dict.fromkeys(zip(nodes, interfaces, strict=True)))
    number = {place: index for index, place in enumerate(places)}
    where = np.array([number[place] for place in zip(nodes, interfaces, strict=True)], dtype=np.uint32)
    version = {6 if ":" in address else 4 for address in {*sources, *destinations}}
    if len(version) > 1:
        raise StoreError("found packets of both versions of IP, which cannot be in the same file")
    dtype, linktype = (_IPV6, LINKTYPE_IPV6) if version == {6} else (_IPV4, LINKTYPE_IPV4)
    made = _blocks(dtype, columns, time_ns, where)
    made["source"], made["destination"] = _packed(sources, dtype), _packed(destinations, dtype)
    if dtype is _IPV4:
        made["ip_checksum"] = _checksum(_words(made, "version", _IPV4_HEADER).sum(axis=1))
    made["checksum"] = np.where(columns["length"] == 0, _tcp_checksums(made), 0)
    return b"".join([_section(comment), *(_interface(linktype, *place) for place in places), made.tobytes()])


_TEXTS = ("node", "interface", "saddr", "daddr")


def _texts(table: pa.Table, name: str) -> list[str]:
    return [text or "unknown" for text in table.column(name).to_pylist()]


def _blocks(
    dtype: np.dtype[np.void], columns: dict[str, NDArray[Any]], time_ns: NDArray[np.int64], where: NDArray[np.uint32]
) -> NDArray[np.void]:
    """Return the packets' blocks without their addresses and checksums."""
    made = np.zeros(len(time_ns), dtype=dtype)
    header = _IPV4_HEADER if dtype is _IPV4 else _IPV6_HEADER
    made["type"], made["interface"] = _PACKET, where
    made["total"] = made["total_again"] = dtype.itemsize
    made["time_high"], made["time_low"] = time_ns >> 32, time_ns & 0xFFFFFFFF
    made["captured"] = header + _TCP_HEADER
    length = columns["length"].astype(np.int64)
    made["original"] = header + _TCP_HEADER + length
    counted = _TCP_HEADER + length + (header if dtype is _IPV4 else 0)
    # Linux writes 0 for larger packets, too (iph_set_totlen(), include/linux/ip.h).
    made["ip_length"] = np.where(counted <= _LARGEST_LENGTH, counted, 0)
    ecn = columns["ecn"].astype(np.uint32)
    if dtype is _IPV4:
        made["version"], made["tos"], made["ttl"], made["protocol"] = 0x45, ecn, _TTL, _TCP
    else:
        made["class_and_label"], made["next"], made["hops"] = 6 << 28 | ecn << 20, _TCP, _TTL
    for name in ("sport", "dport", "seq", "ack", "flags", "window"):
        made[name] = columns[name]
    made["data_offset"] = _TCP_HEADER // 4 << 4
    return made


def _packed(addresses: Sequence[str], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    try:
        known = {text: ipaddress.ip_address(text).packed for text in dict.fromkeys(addresses)}
    except ValueError as error:
        raise StoreError(f"found an address that is none: {error}") from error
    return np.frombuffer(b"".join(known[text] for text in addresses), dtype=dtype["source"])


def _tcp_checksums(made: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the checksums of the segments, if they have no payload: over pseudo-header and header (RFC 9293, 3.1)."""
    address_bytes = made.dtype["source"].itemsize
    total = _words(made, "source", address_bytes).sum(axis=1) + _words(made, "destination", address_bytes).sum(axis=1)
    return _checksum(total + _TCP + _TCP_HEADER + _words(made, "sport", _TCP_HEADER).sum(axis=1))


def _words(made: NDArray[np.void], first: str, size: int) -> NDArray[np.uint64]:
    """Return the 16-bit words of *size* bytes of each block, from the field *first* on."""
    assert made.dtype.fields is not None
    offset = made.dtype.fields[first][1]
    raw = np.frombuffer(made.tobytes(), np.uint8).reshape(len(made), made.dtype.itemsize)
    return np.ascontiguousarray(raw[:, offset : offset + size]).view(">u2").astype(np.uint64)


def _checksum(total: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the Internet checksum (RFC 1071) of words with this sum."""
    folded = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
    folded = (folded & np.uint64(0xFFFF)) + (folded >> np.uint64(16))
    found: NDArray[np.uint64] = folded ^ np.uint64(0xFFFF)
    return found


def _section(comment: str) -> bytes:
    options = [(_COMMENT, comment.encode()), (_APPLICATION, b"lab")]
    return _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), options)


def _interface(linktype: int, node: str, interface: str) -> bytes:
    name = interface if interface.startswith(f"{node}-") else f"{node}:{interface}"
    options = [(_NAME, name.encode()), (_RESOLUTION, b"\x09")]
    return _block(_INTERFACE, struct.pack("<HHI", linktype, 0, 0), options)


def _block(kind: int, body: bytes, options: Sequence[tuple[int, bytes]]) -> bytes:
    encoded = b"".join(struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in options)
    content = body + encoded + struct.pack("<HH", 0, 0)
    total = struct.pack("<I", len(content) + 12)
    return struct.pack("<I", kind) + total + content + total
