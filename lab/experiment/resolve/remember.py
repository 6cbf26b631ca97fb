# SPDX-License-Identifier: Apache-2.0
"""Keep the last result of a function of one model, because many steps for the same cell ask for the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from lab.experiment.schema.base import Model

__all__ = ["remembering_last"]

_Argument = TypeVar("_Argument", bound=Model)
_Result = TypeVar("_Result")


def remembering_last(function: Callable[[_Argument], _Result]) -> Callable[[_Argument], _Result]:
    """Return *function* with a memory for its last argument and result.

    The argument is compared by identity, which takes no time and is enough: models cannot change.  The result must not
    be changed either.
    """
    last: list[tuple[_Argument, _Result]] = []

    @wraps(function)
    def remembered(argument: _Argument) -> _Result:
        for known, result in last:
            if known is argument:
                return result
        result = function(argument)
        last[:] = [(argument, result)]
        return result

    return remembered
