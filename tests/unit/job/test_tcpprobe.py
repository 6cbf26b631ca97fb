# SPDX-License-Identifier: Apache-2.0
"""The line format of the former tcpprobe module must match exactly, because existing scripts parse its columns."""

from __future__ import annotations

from typing import Any

import pytest

from lab.job.tcpprobe import COLUMNS, tcpprobe_line

ROW: dict[str, Any] = {
    "time_ns": 1_000_000_042, "saddr": "10.0.1.1", "sport": 45540, "daddr": "10.0.3.2", "dport": 5201, "data_len": 1448,
    "snd_nxt": 0xD3457139, "snd_una": 0, "snd_cwnd": 10, "ssthresh": 2147483647, "snd_wnd": 65160, "srtt_us": 40084,
    "rcv_wnd": 64512,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {},
            "1.000000042 10.0.1.1:45540 10.0.3.2:5201 1448 0xd3457139 0x0 10 2147483647 65160 40084 64512",
        ),
        (
            {"saddr": "fd00::1", "daddr": "fd00:0:1::2", "time_ns": 999},
            "0.000000999 [fd00::1]:45540 [fd00:0:1::2]:5201 1448 0xd3457139 0x0 10 2147483647 65160 40084 64512",
        ),
    ],
)
def test_the_line(change: dict[str, Any], line: str) -> None:
    assert tcpprobe_line({**ROW, **change}) == line
    assert set(COLUMNS) == set(ROW)
