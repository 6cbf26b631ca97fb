# SPDX-License-Identifier: Apache-2.0
"""Choose the bundles that trials use in place of the default ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.bundle.parts import check_parts, chosen_recipes, known_bundles
from lab.engine.bundles import Bundle, read_bundle
from lab.engine.debian.builds import DamagedBuildError, choosing
from lab.errors import InputError

_SHOWN = 6


def bundle_named(prefix: str) -> Bundle:
    """Return the only bundle in the cache whose digest begins with *prefix*.

    Raises:
        InputError: There is none, or there are several.
    """
    bundles = known_bundles()
    found = [bundle for bundle in bundles if bundle.digest.startswith(prefix)]
    if len(found) != 1 or not prefix:
        known = ", ".join(bundle.digest[:16] for bundle in bundles[-_SHOWN:]) or "none"
        raise InputError(
            f"found {len(found)} bundles whose digest begins with {prefix!r}; expected one of: {known} "
            "(`lab bundle list` shows all; `lab bundle import FILE` adds one)"
        )
    return found[0]


@contextlib.contextmanager
def using(bundles: Sequence[Bundle]) -> Iterator[None]:
    """Let trials use *bundles* until the block ends, if they ask for their kernels.

    Raises:
        InputError: Two bundles have different parts for the same purpose.
    """
    recipes: dict[str, str] = {}
    for bundle in bundles:
        for recipe, digest in chosen_recipes(bundle).items():
            if recipes.setdefault(recipe, digest) != digest:
                raise InputError(
                    f"bundle: found bundles with different files for the same purpose ({recipes[recipe][:16]} and "
                    f"{digest[:16]}); expected bundles that have QEMU, or the image with a kernel, in common"
                )
    with choosing(recipes):
        yield


def check_kernels(bundles: Sequence[Bundle], kernels: Sequence[str], engine: str) -> None:
    """Check that each of the kernels that the trials of an experiment ask for has one of the chosen bundles.

    Raises:
        InputError: A kernel has none, or the engine uses no bundles.
    """
    if bundles and engine == "native":
        raise InputError("bundle: found it with the engine native, whose trials use no bundle")
    without = [kernel for kernel in kernels if all(bundle.kernel != kernel for bundle in bundles)]
    if bundles and without:
        given = ", ".join(bundle.kernel for bundle in bundles)
        raise InputError(
            f"bundle: found bundles with {given}; the experiment runs on {', '.join(without)}, too: give a bundle "
            "for each kernel"
        )


def bundles_of_run(provenance: Mapping[str, Any]) -> list[Bundle]:
    """Return the bundles that a run was made with, which need not be in the cache; none for old and native runs."""
    named = provenance.get("bundles")
    found = []
    for kernel, parts in named.items() if isinstance(named, dict) else ():
        with contextlib.suppress(ValueError):
            found.append(read_bundle({"kernel": kernel, "parts": parts}))
    return found


def usable(bundle: Bundle) -> bool:
    """Return whether all parts of a bundle are in the cache as they were built."""
    try:
        check_parts(bundle)
    except DamagedBuildError:
        return False
    return True
