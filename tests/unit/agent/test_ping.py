# SPDX-License-Identifier: Apache-2.0
"""What the output of ping says about a path."""

from __future__ import annotations

import pytest

from lab.agent.topology.ping import parse_ping

HEAD = """PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.

--- 10.0.0.2 ping statistics ---
"""


@pytest.mark.parametrize(
    ("statistics", "expected"),
    [
        (
            "3 packets transmitted, 3 received, 0% packet loss, time 29ms\n"
            "rtt min/avg/max/mdev = 50.020/50.043/50.081/0.044 ms\n",
            (3, 50_020_000, 50_081_000),
        ),
        (
            "3 packets transmitted, 1 received, +1 duplicates, 66.6667% packet loss, time 21ms\n"
            "rtt min/avg/max/mdev = 0.609/0.614/0.619/0.005 ms, pipe 3\n",
            (1, 609_000, 619_000),
        ),
        ("5 packets transmitted, 0 received, 100% packet loss, time 44ms\n\n", (0, None, None)),
    ],
)
def test_times_are_exact_to_the_microsecond(statistics: str, expected: tuple[int, int | None, int | None]) -> None:
    assert parse_ping(HEAD + statistics) == expected


def test_an_output_without_statistics_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="no statistics"):
        parse_ping("ping: connect: Network is unreachable\n")
