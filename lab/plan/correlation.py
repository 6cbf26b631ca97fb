# SPDX-License-Identifier: Apache-2.0
"""What netem makes of a probability with a correlation.  No I/O."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

__all__ = ["correlated_share"]

_CELLS = 1000
_ROUNDS = 200


def correlated_share(probability: float, correlation: float) -> float:
    """Return the share of packets for which an event happens in the long run, accurate to about 0.0001.

    ``get_crandom()`` (net/sched/sch_netem.c) does not return a uniform number but the weighted mean of a new uniform
    number and its previous result: X' = (1 - c)·U + c·X.  The event happens if it is at most the probability.  The
    distribution of X, which is narrower than the uniform one, is the fixed point of
    F(x) = 1/(1 - c) · (integral of F(y/c) over y from x - (1 - c) to x).

    ``correlation`` is less than 1; with 1, X never changes.
    """
    if not correlation:
        return probability
    grid = [number / _CELLS for number in range(_CELLS + 1)]
    shares = list(grid)
    for _ in range(_ROUNDS):
        sums = [0.0]
        for before, after in pairwise(shares):
            sums.append(sums[-1] + (before + after) / 2 / _CELLS)

        def integral(z: float, sums: list[float] = sums) -> float:
            if z <= 0:
                return 0.0
            if z >= 1:
                return sums[-1] + z - 1
            place = min(bisect_right(grid, z), _CELLS) - 1
            return sums[place] + (sums[place + 1] - sums[place]) * (z * _CELLS - place)

        new = [
            correlation
            / (1 - correlation)
            * (integral(x / correlation) - integral((x - 1 + correlation) / correlation))
            for x in grid
        ]
        if max(abs(old - now) for old, now in zip(shares, new, strict=True)) < 1e-6:
            shares = new
            break
        shares = new
    place = min(int(probability * _CELLS), _CELLS - 1)
    return shares[place] + (shares[place + 1] - shares[place]) * (probability * _CELLS - place)
