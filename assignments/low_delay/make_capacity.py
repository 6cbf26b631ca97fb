# SPDX-License-Identifier: Apache-2.0
"""Write the capacity files of this assignment: ``python assignments/low_delay/make_capacity.py``.

The files are synthetic, and the script always writes the same ones.  Each line is a time in milliseconds at which a
full-size packet (1514 bytes) may leave the link; the last line is also the length of the period.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

FOLDER = Path(__file__).parent
PACKET_BITS = 1514 * 8
PERIOD_MS = 20_000


def opportunities(seed: int, mean_bps: float, spread: float) -> list[int]:
    """Return the times at which packets may leave, in milliseconds.

    The logarithm of the rate is a mean-reverting random walk (an Ornstein-Uhlenbeck process) with a time constant of
    two seconds and the standard deviation *spread*, as on the link of a phone that is carried around in a city.
    """
    draw = random.Random(seed)
    times, level, bits = [], 0.0, 0.0
    for ms in range(1, PERIOD_MS + 1):
        level += -level / 2000 + draw.gauss(0, spread * math.sqrt(2 / 2000))
        bits += min(2 * mean_bps, max(mean_bps / 3, mean_bps * math.exp(level))) / 1000
        while bits >= PACKET_BITS:
            bits -= PACKET_BITS
            times.append(ms)
    return times


def main() -> None:
    for name, seed, mean_bps, spread in (("capacity/walk", 7, 8e6, 0.35), ("teacher/tram", 11, 6e6, 0.45)):
        times = opportunities(seed, mean_bps, spread)
        # The last opportunity is moved to the end of the period, because its time is the length of the period.
        text = "".join(f"{ms}\n" for ms in [*times[:-1], PERIOD_MS])
        (FOLDER / f"{name}.mahimahi").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
