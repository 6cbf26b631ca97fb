# SPDX-License-Identifier: Apache-2.0
"""Write the two capacity files beside this script: ``python experiments/capacity/make.py``.

The files are synthetic, and the script always writes the same files.  Each line is a time in milliseconds at which a
full-size packet (1514 bytes) may leave the link; the last line is also the length of the period.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

HERE = Path(__file__).parent
PACKET_BITS = 1514 * 8


def opportunities(rate_bps_at_ms: list[float]) -> list[int]:
    """Return the times at which packets may leave, in milliseconds.

    At any time, the number of packets that have left is what the rate, given for each millisecond, has carried so far.
    """
    times, bits = [], 0.0
    for ms, rate_bps in enumerate(rate_bps_at_ms, 1):
        bits += rate_bps / 1000
        while bits >= PACKET_BITS:
            bits -= PACKET_BITS
            times.append(ms)
    return times


def step() -> list[int]:
    """Return a period of 20 s: 20 Mbit/s for 10 s, then 5 Mbit/s for 10 s."""
    return opportunities([20e6] * 10_000 + [5e6] * 10_000)


def cellular() -> list[int]:
    """Return a period of 60 s like the downlink of a moving phone: the rate varies between 0.5 and 30 Mbit/s.

    The logarithm of the rate is a mean-reverting random walk (an Ornstein-Uhlenbeck process) with a time constant of a
    few seconds.  A fade of 0.2 to 1.5 s occurs about once in ten seconds.  Packets leave in bursts, like those from the
    scheduler of a cellular network.
    """
    draw = random.Random(20)
    rates, level, fade_until, burst = [], 0.0, 0, 0.0
    for ms in range(60_000):
        level += -level / 2_500 + draw.gauss(0, 0.022)
        if ms >= fade_until and draw.random() < 1 / 10_000:
            fade_until = ms + draw.randint(200, 1_500)
        rate = min(30e6, max(0.5e6, 9e6 * math.exp(level)))
        if ms < fade_until:
            rate = 0.0 if draw.random() < 0.5 else 0.3e6
        # The scheduler serves this phone in one of three slots of 5 ms, on average, at three times the rate.
        if ms % 5 == 0:
            burst = 3.0 if draw.random() < 1 / 3 else 0.0
        rates.append(rate * burst)
    return opportunities(rates)


def main() -> None:
    for name, times, length in (("step", step(), 20_000), ("cellular", cellular(), 60_000)):
        # The last opportunity is moved to the end of the period, because its time is the length of the period.
        text = "".join(f"{ms}\n" for ms in [*times[:-1], length])
        (HERE / f"{name}.mahimahi").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
