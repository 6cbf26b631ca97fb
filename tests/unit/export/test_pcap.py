# SPDX-License-Identifier: Apache-2.0
"""pcapng: what a reader that follows the format, and tcpdump, find in the file is what was recorded."""

from __future__ import annotations

import ipaddress
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from lab.errors import StoreError
from lab.export.pcap import COLUMNS, START_S, pcapng
from tests.data.raw import RawTrial
from tests.unit.export.conftest import Exported

Raw = Callable[[str], dict[str, RawTrial]]
Packet = dict[str, Any]


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each block; the length stands before and behind it."""
    at = 0
    while at < len(data):
        kind, total = struct.unpack_from("<II", data, at)
        assert total % 4 == 0
        assert struct.unpack_from("<I", data, at + total - 4) == (total,)
        yield kind, data[at + 8 : at + total - 4]
        at += total


def options(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            break
        found[code] = data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
    return found


def packets(data: bytes) -> list[Packet]:
    """Return the packets with the fields of their headers."""
    interfaces: list[tuple[int, str]] = []
    found = []
    for number, (kind, body) in enumerate(blocks(data)):
        if number == 0:
            assert kind == 0x0A0D0D0A
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
        elif kind == 1:
            own = options(body[8:])
            assert own[9] == b"\x09"
            interfaces.append((struct.unpack_from("<H", body)[0], own[2].decode()))
        else:
            assert kind == 6
            interface, high, low, captured, original = struct.unpack_from("<IIIII", body)
            raw = body[20 : 20 + captured]
            linktype, name = interfaces[interface]
            assert linktype == {4: 228, 6: 229}[raw[0] >> 4]
            found.append({"ns": high << 32 | low, "original": original, "name": name, **headers(raw)})
    return found


def headers(raw: bytes) -> Packet:
    is_ipv4 = raw[0] >> 4 == 4
    if is_ipv4:
        assert raw[0] & 15 == 5
        tos, length, source, destination = raw[1], *struct.unpack_from(">H", raw, 2), raw[12:16], raw[16:20]
        assert ones_complement(raw[:20]) == 0xFFFF
        protocol, tcp, total = raw[9], raw[20:], length
    else:
        tos, length, source, destination = raw[1] >> 4, *struct.unpack_from(">H", raw, 4), raw[8:24], raw[24:40]
        protocol, tcp, total = raw[6], raw[40:], length + 40
    assert protocol == 6
    sport, dport, seq, ack, offset, flags, window, checksum, _urgent = struct.unpack(">HHIIBBHHH", tcp)
    assert offset >> 4 == 5
    payload = total - len(raw)
    if payload == 0:
        assert ones_complement(source + destination + struct.pack(">HH", 6, 20) + tcp) == 0xFFFF
    else:
        assert checksum == 0
    return {
        "saddr": str(ipaddress.ip_address(source)), "daddr": str(ipaddress.ip_address(destination)),
        "sport": sport, "dport": dport, "seq": seq, "ack": ack, "flags": flags, "window": window, "ecn": tos & 3,
        "length": payload, "total": total,
    }  # fmt: skip


def ones_complement(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_each_packet_is_what_was_recorded(exported: Exported, raw: Raw) -> None:
    data = exported("everything", "cubic-r1", "pcap").read_bytes()
    rows = [row for row in raw("everything")["cubic-r1"].rows("packets") if row["interface"] != "mgmt"]
    found = packets(data)
    assert len(found) == len(rows) > 100
    for packet, row in zip(found, rows, strict=True):
        fields = ("saddr", "daddr", "sport", "dport", "seq", "ack", "length", "window", "flags", "ecn")
        assert {name: packet[name] for name in fields} == {name: row[name] for name in fields}
        assert packet["ns"] == START_S * 10**9 + row["t"]
        assert packet["name"] == row["interface"]
        assert packet["original"] == packet["total"] == 40 + row["length"]
    comment = options(next(blocks(data))[1][16:])[1].decode()
    assert comment.startswith("Trial cubic-r1: TCP segments as they reached the receiver's TCP.")
    assert comment.endswith("0 segments were not recorded.")


def test_tcpdump_reads_it(exported: Exported, raw: Raw) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    path = exported("everything", "bbr-r1", "pcap")
    done = subprocess.run(
        ["tcpdump", "-nn", "-tt", "-S", "-v", "-r", str(path)], capture_output=True, text=True, check=True
    )
    rows = [row for row in raw("everything")["bbr-r1"].rows("packets") if row["interface"] != "mgmt"]
    lines = [line for line in done.stdout.splitlines() if line.startswith("    ")]
    assert len(lines) == len(rows)
    assert "bad cksum" not in done.stdout
    for line, row in zip(lines, rows, strict=True):
        assert line.split(",")[0].startswith(
            f"    {row['saddr']}.{row['sport']} > {row['daddr']}.{row['dport']}: Flags ["
        )
        assert line.endswith(f"length {row['length']}")
        assert "(incorrect" not in line or row["length"]
    assert "illegal" not in done.stderr
    assert "pcap_loop" not in done.stderr


def table(**columns: list[Any]) -> pa.Table:
    rows = len(columns["saddr"])
    usual: dict[str, list[Any]] = {
        "time_ns": [0] * rows, "node": ["d1"] * rows, "interface": ["d1-eth0"] * rows, "sport": [1] * rows,
        "dport": [2] * rows, "seq": [3] * rows, "ack": [4] * rows, "length": [0] * rows, "window": [5] * rows,
        "flags": [16] * rows, "ecn": [0] * rows,
    }  # fmt: skip
    found = {**usual, **columns}
    return pa.table({name: found[name] for name in COLUMNS})


def test_ipv6_and_places_that_the_kernel_did_not_say() -> None:
    found = packets(
        pcapng(
            table(
                saddr=["fd00::1", "fd00::2", "fd00::1"],
                daddr=["fd00::2", "fd00::1", "fd00::2"],
                node=["d1", None, "r"],
                interface=["d1-eth0", None, "lan0"],
                length=[1428, 0, 70_000],
                ecn=[2, 3, 0],
                time_ns=[-(10**9), 0, 5],
            ),
            "",
        )
    )
    assert [packet["saddr"] for packet in found] == ["fd00::1", "fd00::2", "fd00::1"]
    assert [packet["name"] for packet in found] == ["d1-eth0", "unknown:unknown", "r:lan0"]
    assert [packet["ecn"] for packet in found] == [2, 3, 0]
    assert [packet["original"] for packet in found] == [60 + 1428, 60, 60 + 70_000]
    # The field for the length has 16 bits; of a larger packet it is 0.
    assert [packet["total"] for packet in found] == [60 + 1428, 60, 40]
    assert found[0]["ns"] == (START_S - 1) * 10**9


def test_a_file_without_packets() -> None:
    assert packets(pcapng(table(saddr=[], daddr=[]), "")) == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"saddr": ["10.0.0.1", "fd00::1"], "daddr": ["10.0.0.2", "fd00::2"]}, "packets of both versions of IP"),
        ({"saddr": ["10.0.0.1"], "daddr": ["nowhere"]}, "found an address that is none"),
        ({"saddr": ["10.0.0.1"], "daddr": ["10.0.0.2"], "time_ns": [-1001 * 10**9]}, "more than 1000 s before"),
    ],
)
def test_rows_that_make_no_file(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        pcapng(table(**columns), "")
