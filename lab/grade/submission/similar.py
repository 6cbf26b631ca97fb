# SPDX-License-Identifier: Apache-2.0
"""Find sources that are nearly the same, whatever their variables are called.  This module does no I/O.

Sources are compared by fingerprints of their tokens, which winnowing chooses: Schleimer, Wilkerson and Aiken,
"Winnowing: Local Algorithms for Document Fingerprinting", SIGMOD 2003, the method of MOSS.  Names, numbers and
texts are replaced by one token each before, and comments are left out.  What all students were given has no part in it,
nor has what many of them have in common.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lab.grade.submission.sources import CToken, tokens

__all__ = ["Pair", "fingerprints", "similar_pairs"]

GRAM = 12
"""The number of tokens of which a fingerprint is made (k in the paper): shorter matches are not seen."""
WINDOW = 8
"""Of each as many fingerprints in a row, one is chosen (w in the paper): matches of GRAM + WINDOW - 1 tokens are always
seen."""
COMMON_SHARE = 0.5
"""What more than this share of a class has in common says nothing: everybody copies it from the same lecture."""
_LEAST_CLASS = 6
"""In a smaller class, nothing is left out for being common."""
LEAST_SHARED = 0.6
"""Pairs that share less than this part of the smaller source are not listed."""
_LEAST_FINGERPRINTS = 4
"""Sources with fewer fingerprints of their own are too short to be compared."""


@dataclass(frozen=True)
class Pair:
    """Two sources that are nearly the same."""

    first: str
    second: str
    shared: float
    """The part of the smaller one's fingerprints that the other one has, too."""
    places: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    """Lines of the first source, and the lines of the second that match them: each the first and the last line."""


def fingerprints(source: str) -> dict[int, tuple[int, int]]:
    """Return the fingerprints of a source in C, each with the first and the last line of its first place."""
    found: list[CToken] = list(tokens(source))
    hashes = [_hash(token.normal for token in found[place : place + GRAM]) for place in range(len(found) - GRAM + 1)]
    chosen: dict[int, tuple[int, int]] = {}
    for start in range(max(1, len(hashes) - WINDOW + 1)):
        window = hashes[start : start + WINDOW]
        if window:
            # The rightmost of the smallest, as in the paper.
            place = start + max(index for index, value in enumerate(window) if value == min(window))
            chosen.setdefault(hashes[place], (found[place].line, found[place + GRAM - 1].line))
    return chosen


def _hash(texts: Iterable[str]) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(texts).encode(errors="replace"), digest_size=8).digest(), "big")


def similar_pairs(
    sources: Mapping[str, str], given: Sequence[str] = (), published: Mapping[str, str] = MappingProxyType({})
) -> list[Pair]:
    """Return the pairs of *sources* (name → text in C) that are nearly the same, the most similar first.

    Args:
        sources: What was handed in.
        given: The sources that all had from the start.
        published: Sources that anybody can find.  A pair may have one of them as the second source.
    """
    known = {one for source in given for one in fingerprints(source)}
    prints = {
        name: {value: lines for value, lines in fingerprints(source).items() if value not in known}
        for name, source in sources.items()
    }
    public = {name: fingerprints(source) for name, source in published.items()}
    found = [
        pair
        for name, own in sorted(prints.items())
        for other, theirs in public.items()
        if (pair := _pair(name, own, other, theirs)) is not None
    ]
    if len(prints) >= _LEAST_CLASS:
        counts = Counter(value for own in prints.values() for value in own)
        common = {value for value, number in counts.items() if number > COMMON_SHARE * len(prints)}
        # Copies of one source must not make all of it common.
        kept = {
            name: {value: lines for value, lines in own.items() if value not in common} for name, own in prints.items()
        }
        prints = {name: own if len(own) >= _LEAST_FINGERPRINTS else prints[name] for name, own in kept.items()}
    names = sorted(prints)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            if (pair := _pair(first, prints[first], second, prints[second])) is not None:
                found.append(pair)
    return sorted(found, key=lambda pair: (-pair.shared, pair.first, pair.second))


def _pair(
    first: str, mine: Mapping[int, tuple[int, int]], second: str, theirs: Mapping[int, tuple[int, int]]
) -> Pair | None:
    """Return what two sources with these fingerprints have in common; None if they are not nearly the same."""
    fewest = min(len(mine), len(theirs))
    both = mine.keys() & theirs.keys()
    if fewest < _LEAST_FINGERPRINTS or len(both) / fewest < LEAST_SHARED:
        return None
    return Pair(first, second, len(both) / fewest, _merged([(mine[value], theirs[value]) for value in both]))


def _merged(
    places: Iterable[tuple[tuple[int, int], tuple[int, int]]],
) -> tuple[tuple[tuple[int, int], tuple[int, int]], ...]:
    """Return matching lines with those joined that follow each other in both sources."""
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for first, second in sorted(places):
        if found:
            (start, end), (other_start, other_end) = found[-1]
            if first[0] <= end + 1 and other_start <= second[0] <= other_end + 1:
                found[-1] = ((start, max(end, first[1])), (other_start, max(other_end, second[1])))
                continue
        found.append((first, second))
    return tuple(found)
