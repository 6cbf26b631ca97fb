# SPDX-License-Identifier: Apache-2.0
"""Check names that only the kernel and ``tc`` know: congestion control algorithms and parameters of qdiscs.  No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from lab.experiment.check.problems import Problem, nearest
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import Path
from lab.experiment.schema.links import Queue
from lab.job import kernels
from lab.units import show

__all__ = ["Known", "Lookup", "known_problems", "parameters_in", "unknown_names"]


@dataclass(frozen=True)
class Known:
    """What the kernel and ``tc`` of an image have."""

    algorithms: frozenset[str]
    parameters: Mapping[str, frozenset[str]]
    """Discipline → its parameters."""


Lookup = Callable[[str, str], Known | None]
"""Engine and kernel → what they have; None if that is not known, such as before the image is built."""


def known_problems(experiment: Experiment, lookup: Lookup) -> Iterator[Problem]:
    """Yield a problem for each algorithm or parameter that the kernel or ``tc`` of the experiment does not have."""
    kernel = experiment.kernel or kernels.default_of(experiment.engine)
    known = lookup(experiment.engine, kernel)
    if known is None:
        return
    named = "the kernel" if kernels.is_package(kernel) else f"the kernel {kernel}"
    for place, name, at_key in _algorithms(experiment):
        if name not in known.algorithms:
            message = _unknown(name, f"an algorithm of {named}", known.algorithms)
            yield Problem(place, message, "key" if at_key else "value")
    for place, discipline, name in parameters_in(experiment):
        words = known.parameters.get(discipline)
        if words is not None and name not in words:
            yield Problem((*place, name), _unknown(name, f"a parameter of {discipline} in tc", words), "key")


def unknown_names(experiments: Iterable[Experiment]) -> list[str]:
    """Return the names in experiments that cannot be checked without an image."""
    names: dict[str, None] = {}
    for experiment in experiments:
        names |= dict.fromkeys(
            name for _place, name, _at_key in _algorithms(experiment) if name not in kernels.ALGORITHMS
        )
        names |= dict.fromkeys(name for _place, _discipline, name in parameters_in(experiment))
    return list(names)


def _unknown(name: str, what: str, names: frozenset[str]) -> str:
    close = nearest(name, sorted(names))
    meant = f"; did you mean '{close}'?" if close else ""
    return f"found {show(name)}; expected {what}{meant} ({', '.join(sorted(names))})"


def _algorithms(experiment: Experiment) -> Iterator[tuple[Path, str, bool]]:
    for name, flow in experiment.flows.items():
        if flow.protocol == "tcp" and isinstance(flow.cc, str):
            yield ("flows", name, "cc"), flow.cc, False
    for algorithm in experiment.modules:
        yield ("modules", algorithm), algorithm, True


def parameters_in(experiment: Experiment) -> Iterator[tuple[Path, str, str]]:
    """Yield the place of the parameters, the discipline and the name of each parameter."""
    for pattern, settings in experiment.hosts.items():
        if settings.queue is not None:
            for name in settings.queue.parameters:
                yield ("hosts", pattern, "queue", "parameters"), settings.queue.discipline, name
    for place, discipline, parameters in _queues(experiment.topology, ("topology",)):
        for name in parameters:
            yield place, discipline, name


def _queues(part: object, here: Path, discipline: str = "bfifo") -> Iterator[tuple[Path, str, Mapping[str, object]]]:
    """Yield the queues in a part of the topology: the place of the parameters, the discipline, and the parameters.

    A queue in the reverse direction or in a schedule has the discipline of the link unless it names one.
    """
    if isinstance(part, Queue):
        own = part.discipline if "discipline" in part.model_fields_set else discipline
        yield (*here, "parameters"), own, part.parameters
    elif isinstance(part, BaseModel):
        queue = getattr(part, "queue", None)
        own = queue.discipline if isinstance(queue, Queue) and "discipline" in queue.model_fields_set else discipline
        for name, field in type(part).model_fields.items():
            yield from _queues(getattr(part, name), (*here, field.alias or name), own)
    elif isinstance(part, dict):
        for name, item in part.items():
            yield from _queues(item, (*here, name), discipline)
    elif isinstance(part, list):
        for index, item in enumerate(part):
            yield from _queues(item, (*here, index), discipline)
