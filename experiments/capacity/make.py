# SPDX-License-Identifier: Apache-2.0
"""Write the two capacity files beside this script: ``python experiments/capacity/make.py``.

They are synthetic, and the same every time.

A line is the ms at which a packet of full size (1514 bytes) may leave; the last one is the length of the period.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

HERE = Path(__file__).parent
PACKET_BITS = 1514 * 8


def opportunities(rate_bps_at_ms: list[float]) -> list[int]:
    """Spread packets over time so that at every moment as many have left as the rate up to then carries."""
    times, bits = [], 0.0
    for ms, rate_bps in enumerate(rate_bps_at_ms, 1):
        bits += rate_bps / 1000
        while bits >= PACKET_BITS:
            bits -= PACKET_BITS
            times.append(ms)
    return times


def step() -> list[int]:
    """20 Mbit/s for 10 s, 5 Mbit/s for 10 s."""
    return opportunities([20e6] * 10_000 + [5e6] * 10_000)


def cellular() -> list[int]:
    """Like a moving phone's downlink: a rate that wanders between 0.5 and 30 Mbit/s over seconds, with fades.

    The logarithm of the rate is a mean-reverting random walk (Ornstein and Uhlenbeck's) of some seconds' memory; a
    fade of 0.2 to 1.5 s comes every ten seconds or so; within a ms there are several packets or none, as schedulers do.
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
        # The scheduler serves this phone one slot of five ms in three, at three times the rate.
        if ms % 5 == 0:
            burst = 3.0 if draw.random() < 1 / 3 else 0.0
        rates.append(rate * burst)
    return opportunities(rates)


def main() -> None:
    for name, times, length in (("step", step(), 20_000), ("cellular", cellular(), 60_000)):
        # The last opportunity is at the end, wherever the rate would have put it.
        text = "".join(f"{ms}\n" for ms in [*times[:-1], length])
        (HERE / f"{name}.mahimahi").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
