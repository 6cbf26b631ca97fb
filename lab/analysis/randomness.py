# SPDX-License-Identifier: Apache-2.0
"""What can make the repetitions of a cell differ: what its experiment draws at random, and what the kernel draws.

In virtual time, a trial is computed from its job alone.  Repetitions whose jobs draw nothing at random are the same
computation, and come out equal to the byte: they say nothing about variation, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.job.kernels import netem_takes_seeds
from lab.job.over_time import netem_over_time, queue_over_time
from lab.job.protocol import Job, Netem, Queue
from lab.words import listed

RANDOM_DISCIPLINES = {
    "red": "random drops",
    "pie": "random drops",
    "fq_pie": "random drops and the assignment of flows to queues",
    "fq_codel": "the assignment of flows to queues",
    "sfq": "the assignment of flows to queues",
    "cake": "the assignment of flows to queues",
}
"""Queueing discipline → what it draws from the kernel's random numbers (``net/sched/sch_*.c``)."""
RANDOM_ALGORITHMS = {"bbr": "the phase in which it begins to probe", "cdg": "when it backs off"}
"""Congestion control → what it draws from the kernel's random numbers (``net/ipv4/tcp_bbr.c``, ``tcp_cdg.c``)."""


@dataclass(frozen=True)
class Randomness:
    """What can make the repetitions of a cell differ."""

    declared: tuple[str, ...]
    """What the experiment draws from the seed of the repetition, such as ``random loss`` or ``start times``."""
    of_kernel: tuple[str, ...]
    """What the kernel draws by itself, such as ``random drops by pie``."""
    kernel_differs: bool
    """Whether the kernel's own draws differ between repetitions.

    They are the same in all of them where netem has seeds of its own: every trial begins with the kernel's random
    number generator in the same state.
    """
    in_real_time: bool
    """Whether the trials ran in real time, where no two of them are ever equal."""

    @property
    def can_differ(self) -> bool:
        """Whether repetitions can differ at all."""
        return bool(self.declared) or self.in_real_time or (self.kernel_differs and bool(self.of_kernel))

    def __str__(self) -> str:
        """Return a clause that says what is random, such as ``random loss and start times are random``."""
        found = [*self.declared, *(self.of_kernel if self.kernel_differs else ())]
        if self.in_real_time:
            found.append("the course of real time")
        if not found:
            return "nothing in it is random"
        return f"{listed(found)} {'are' if len(found) > 1 else 'is'} random"


def randomness(jobs: Sequence[Job], engine: str, release: str) -> Randomness:
    """Return what can make repetitions differ.

    Args:
        jobs: The jobs of the repetitions of one cell.
        engine: The engine as the records name it: ``uml``, ``vm`` or ``native``.
        release: The kernel's release (``uname -r``).
    """
    return Randomness(
        declared=tuple(dict.fromkeys([*(part for job in jobs for part in _of_links(job)), *_between(jobs)])),
        of_kernel=tuple(dict.fromkeys(part for job in jobs for part in _of_kernel(job))),
        kernel_differs=engine == "native" or not netem_takes_seeds(release),
        in_real_time=engine == "native",
    )


def _of_links(job: Job) -> Iterator[str]:
    for link in job["links"]:
        for direction in (link["ab"], link["ba"]):
            for _at, netem in netem_over_time(direction).changes:
                yield from _of_netem(netem)


def _of_netem(netem: Netem | None) -> Iterator[str]:
    if netem is None:
        return
    loss = netem["loss"]
    # A link that is down loses every packet, and draws nothing.
    if loss is not None and not (loss["model"] == "random" and loss["values"][0] in (0, 1)):
        yield "random loss"
    if netem["jitter"]:
        yield "jitter"
    if netem["duplicate"]:
        yield "duplication"
    if netem["corrupt"]:
        yield "corruption"
    if netem["reorder"]:
        yield "reordering"


def _between(jobs: Sequence[Job]) -> Iterator[str]:
    """Yield what differs between the flows of repetitions: what was drawn when their jobs were made."""
    first = jobs[0]["flows"] if jobs else []
    found = dict.fromkeys(("start times", "amounts of data", "arrivals of short flows", "sizes of short flows"), False)
    for job in jobs[1:]:
        for one, other in zip(first, job["flows"], strict=True):
            found["start times"] |= one["start_ns"] != other["start_ns"]
            found["amounts of data"] |= one["limit_bytes"] != other["limit_bytes"]
            if (some := one["arrivals"]) and (others := other["arrivals"]):
                # Times are drawn from the start of the flow on.  Random times give different numbers of flows.
                after = [
                    [at - flow["start_ns"] for at in drawn["at_ns"]] for flow, drawn in ((one, some), (other, others))
                ]
                found["arrivals of short flows"] |= after[0] != after[1]
                sizes = zip(some["bytes"], others["bytes"], strict=False)
                found["sizes of short flows"] |= any(size != another for size, another in sizes)
    yield from (name for name, differs in found.items() if differs)


def _of_kernel(job: Job) -> Iterator[str]:
    queues: list[Queue | None] = [
        queue
        for link in job["links"]
        for direction in (link["ab"], link["ba"])
        for _at, queue in queue_over_time(direction).changes
    ]
    queues += [node["settings"]["queue"] for node in job["nodes"] if "settings" in node]
    for queue in queues:
        if queue is not None and queue["discipline"] in RANDOM_DISCIPLINES:
            yield f"{RANDOM_DISCIPLINES[queue['discipline']]} by {queue['discipline']}"
    for flow in job["flows"]:
        if flow["congestion_control"] in RANDOM_ALGORITHMS:
            yield f"{RANDOM_ALGORITHMS[flow['congestion_control']]} of {flow['congestion_control']}"
