# SPDX-License-Identifier: Apache-2.0
"""How much competing traffic harms a flow, compared with the same flow alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Harm:
    """How much worse a flow fares than alone (R. Ware, M. K. Mukerjee, S. Seshan, J. Sherry, HotNets 2019).

    Both are None unless the run has the same repetition with the flow alone, on the same network.
    """

    harm_goodput: float | None
    """Harm to goodput: the share of its goodput alone that the flow does not get, (alone − together) / alone.

    0 is no harm, 1 is starvation.  It is negative if the flow fares better than alone.  Null unless the run has a cell
    in which the same flow is alone on the same network, with the same seed (Ware et al., HotNets 2019).
    """
    harm_rtt: float | None
    """Harm to the mean smoothed RTT: the share of it that is due to the others, (together − alone) / together.

    None as ``harm_goodput``.
    """


NO_HARM_KNOWN = Harm(None, None)


def more_is_better(alone: float | None, together: float | None) -> float | None:
    """Return the harm to a quantity of which more is better; None if one of the values is not known."""
    return (alone - together) / alone if alone and together is not None else None


def less_is_better(alone: float | None, together: float | None) -> float | None:
    """Return the harm to a quantity of which less is better; None if one of the values is not known."""
    return (together - alone) / together if together and alone is not None else None
