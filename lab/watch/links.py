# SPDX-License-Identifier: Apache-2.0
"""What can be changed while a trial is watched: rate, delay, loss and queue of each link.  No I/O.

A change is a step of the link's schedule, which is checked and resolved exactly like one in an experiment file.  What
was changed can therefore be written down as an experiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from lab.errors import InputError
from lab.experiment.check.problems import InvalidExperimentError, path_text
from lab.experiment.check.validate import validate
from lab.experiment.read.write import to_yaml
from lab.experiment.resolve.graph import graph_of
from lab.experiment.resolve.job import resolve, trial_seed
from lab.experiment.resolve.sizes import frame_bytes, queue_size
from lab.experiment.resolve.wires import Wire, laid_out, round_trips, wires
from lab.experiment.schema.contents import Contents
from lab.experiment.schema.experiment import Experiment
from lab.experiment.schema.fields import MISSING, Path, get, replaced
from lab.experiment.schema.links import Queue, RandomLoss
from lab.job.network import DirectionName
from lab.job.over_time import queue_limit_bytes, queue_over_time
from lab.job.protocol import Change, Direction, Job
from lab.units import format_duration, format_percent, format_rate, parse_duration, written_queue_limit

Quantity = Literal["rate", "delay", "loss", "queue"]
Resolved = list[tuple[str, DirectionName, list[Change]]]

_MS = 10**6
_RATES = [mantissa * 10**power // 10 for power in range(4, 10) for mantissa in (10, 15, 20, 30, 40, 50, 60, 80)]
_DELAYS_MS = (0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)
_LOSSES = (0.0, 1e-4, 2e-4, 5e-4, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
_LIMITS = (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 80, 100, 150, 200, 300, 500, 800, 1000, 1500, 2000)
_LEFT_OUT = ("matrix", "report", "expect", "repeat")
"""Parts of an experiment that mean nothing for one trial that was watched."""


@dataclass(frozen=True)
class Option:
    """One position of a slider."""

    number: float
    """The place among the other options of the slider."""
    text: str
    """The value as an experiment file has it."""
    label: str
    """The value for people to read."""


@dataclass(frozen=True)
class Slider:
    """A quantity that can be changed."""

    quantity: Quantity
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Side:
    """One direction of a declared link.  Several links may share a declaration; they are changed together."""

    place: Path
    edges: tuple[tuple[str, DirectionName], ...]
    """The names of the links, and the direction of each of them that is meant."""
    sliders: tuple[Slider, ...]

    @property
    def name(self) -> str:
        """The path of the declaration in the file."""
        return path_text(self.place)


class WatchedLinks:
    """The links of one cell of an experiment, as they are changed while its trial runs."""

    def __init__(self, document: Mapping[str, Any], contents: Contents, *, repetition: int = 1) -> None:
        """``document`` is the experiment of a cell, without a matrix; ``contents`` are those of the files it names."""
        self._contents = contents
        self._repetition = repetition
        self._as_given: dict[str, Any] = {key: value for key, value in document.items() if key not in _LEFT_OUT}
        self._document = self._as_given
        self._experiment = validate(self._document, contents).experiment
        self.sides = tuple(_sides(self._experiment))
        self.done: list[tuple[int, str, Quantity, str]] = []
        """What was changed: the time in ns, the name of the side, the quantity, and its new value to be read."""
        self.job = self._watched_job()

    def forget(self) -> None:
        """Begin again with the links as they were given."""
        self._document, self.done = self._as_given, []
        self._experiment = validate(self._document, self._contents).experiment
        self.job = self._watched_job()

    def change(self, at_ns: int, side: int, quantity: Quantity, option: int) -> Resolved:
        """Change a quantity of a side to an option of its slider; return the changes of all directions concerned.

        Raises:
            InputError: There is no such option, or the link cannot be changed in this way at this time.
        """
        chosen = self._option(side, quantity, option)
        changed = self.sides[side]
        value: Any = {"limit": chosen.text} if quantity == "queue" else chosen.text
        path = (*changed.place, "schedule")
        before = get(self._document, path)
        steps = _with_step([] if before is MISSING else list(before), at_ns, quantity, value)
        document = replaced(self._document, path, steps)
        try:
            experiment = validate(document, self._contents).experiment
        except InvalidExperimentError as error:
            raise InputError("; ".join(str(error).splitlines())) from error
        self._document, self._experiment = document, experiment
        self.done = [one for one in self.done if one[:3] != (at_ns, changed.name, quantity)]
        self.done.append((at_ns, changed.name, quantity, chosen.label))
        links = {link["name"]: link for link in resolve(experiment, self._seed).get("links", [])}
        resolved: Resolved = [(name, way, links[name][way]["changes"]) for name, way in changed.edges]
        for name, way, changes in resolved:
            self._direction(name, way)["changes"] = changes
        return resolved

    def positions(self, at_ns: int) -> list[dict[Quantity, int]]:
        """Return, for each side, quantity → the option that is nearest to its value at a time."""
        edges = {edge.name: edge for edge in graph_of(self._experiment.topology).edges}
        rtts = round_trips(self._experiment)
        found = []
        for side in self.sides:
            name, way = side.edges[0]
            wire = wires(edges[name], self._experiment.mtu)[0 if way == "ab" else 1]
            for since_ns, state in laid_out(wire):
                if since_ns <= at_ns:
                    wire = state
            numbers = _numbers(wire, rtts[name], self._experiment.mtu)
            found.append({one.quantity: _nearest(one.options, numbers[one.quantity]) for one in side.sliders})
        return found

    def limit_packets(self, link: str, way: DirectionName, at_ns: int) -> float | None:
        """Return the limit of a queue at a time in full-size packets; None if it is not known."""
        frame = frame_bytes(self._experiment.mtu)
        limit = queue_limit_bytes(queue_over_time(self._direction(link, way)).at(at_ns), frame)
        return None if limit is None else limit / frame

    def as_experiment(self, header: str) -> bytes:
        """Return what was watched as an experiment file that begins with the comment ``header``."""
        name = f"{self._as_given['name'][:56]}_watched"
        buffer = f"{self.job['socket_buffer_bytes']}B"
        more = {"repeat": self._repetition} if self._repetition > 1 else {}
        document = {**self._document, "name": name, "socket_buffer": buffer, **more}
        comment = "".join(f"# {line}\n" for line in header.splitlines())
        return comment.encode() + to_yaml(document)

    @property
    def _seed(self) -> int:
        return trial_seed(self._experiment.seed, self._repetition)

    def _direction(self, link: str, way: DirectionName) -> Direction:
        (found,) = (known for known in self.job["links"] if known["name"] == link)
        return found[way]

    def _option(self, side: int, quantity: Quantity, option: int) -> Option:
        if 0 <= side < len(self.sides):
            for slider in self.sides[side].sliders:
                if slider.quantity == quantity and 0 <= option < len(slider.options):
                    return slider.options[option]
        raise InputError(f"there is no option {option} of the {quantity} of link {side}")

    def _watched_job(self) -> Job:
        """Return the job of the trial, in which each quantity that has a slider can be changed."""
        job = resolve(self._experiment, self._seed)
        # As if everything were going to change as far as possible: netem is then there from the start, and the socket
        # buffers are large enough.
        document: Mapping[str, Any] = self._document
        for side in self.sides:
            path = (*side.place, "schedule")
            before = get(document, path)
            step: dict[str, Any] = {one.quantity: one.options[-1].text for one in side.sliders}
            if "loss" in step:
                step["loss"] = "50%"  # A link that is down needs no buffers.
            if "queue" in step:
                step["queue"] = {"limit": step["queue"]}
            first = {"at": "0s", **step}
            document = replaced(document, path, [first, *([] if before is MISSING else before)])
        most = resolve(validate(document, self._contents).experiment, self._seed)
        for link, other in zip(job["links"], most["links"], strict=True):
            for way in ("ab", "ba"):
                link[way]["netem"] = link[way]["netem"] or other[way]["netem"]
        return {
            **job,
            "socket_buffer_bytes": most["socket_buffer_bytes"],
            # Nothing but what is shown has to be recorded.
            "collectors": {"tcp_probe": {"record": "every_ack", "ends": "senders", "transmit": False}},
        }


def _sides(experiment: Experiment) -> Iterator[Side]:
    """Yield the sides of all links that can have a schedule, those with the lowest rate first."""
    found: dict[Path, tuple[Wire, list[tuple[str, DirectionName]], int]] = {}
    rtts = round_trips(experiment)
    for edge in graph_of(experiment.topology).edges:
        if "access" in edge.place:
            continue  # These links have no schedule.
        for way, wire in zip(("ab", "ba"), wires(edge, experiment.mtu), strict=True):
            found.setdefault(wire.place, (wire, [], rtts[edge.name]))[1].append((edge.name, way))  # type: ignore[arg-type]
    order = sorted(
        found.values(), key=lambda one: ("reverse" in one[0].place, one[0].rate_bps is None, one[0].rate_bps or 0)
    )
    for wire, edges, rtt_ns in order:
        sliders = tuple(_sliders(wire, rtt_ns, experiment.mtu))
        if sliders:
            yield Side(wire.place, tuple(edges), sliders)


def _sliders(wire: Wire, rtt_ns: int, mtu: int) -> Iterator[Slider]:
    now = _numbers(wire, rtt_ns, mtu)
    if wire.rate_bps is not None and wire.capacity is None:
        rates = [Option(rate, _rate_text(rate), format_rate(rate)) for rate in _RATES if _is_near(rate, wire.rate_bps)]
        yield _slider("rate", rates, Option(now["rate"], _rate_text(wire.rate_bps), format_rate(wire.rate_bps)))
    delays = [Option(ms * _MS, f"{ms}ms", f"{ms} ms") for ms in _DELAYS_MS]
    declared_delay = format_duration(wire.delay_ns) if wire.delay_ns else "0 ms"
    yield _slider("delay", delays, Option(now["delay"], f"{wire.delay_ns}ns", declared_delay))
    if isinstance(wire.loss, RandomLoss) and not wire.loss.correlation:
        losses = [Option(loss, format_percent(loss), _loss_label(loss)) for loss in _LOSSES]
        declared = wire.loss.probability
        yield _slider("loss", losses, Option(declared, format_percent(declared), _loss_label(declared)))
    if wire.queue is not None and wire.capacity is None and now["queue"]:
        frame = frame_bytes(mtu)
        limits = [
            Option(packets * frame, f"{packets}p", "1 packet" if packets == 1 else f"{packets} packets")
            for packets in _LIMITS
        ]
        yield _slider("queue", limits, _declared_limit(wire.queue, now["queue"], frame))


def _declared_limit(queue: Queue, limit_bytes: float, frame: int) -> Option:
    if queue.limit is None or queue.limit.unit == "packets":
        packets = round(limit_bytes / frame, 1)
        text = "1bdp" if queue.limit is None and queue.discipline in ("bfifo", "pfifo", "red") else f"{int(packets)}p"
        return Option(limit_bytes, text, f"{packets:g} packets")
    text = written_queue_limit(queue.limit)
    return Option(limit_bytes, text, f"{queue.limit}, {limit_bytes / frame:.0f} packets")


def _numbers(wire: Wire, rtt_ns: int, mtu: int) -> dict[str, float]:
    """Return each quantity of a direction as a number, by which its options are sorted."""
    limit: float = 0
    if wire.queue is not None and wire.rate_bps is not None:
        size = queue_size(wire.queue, wire.rate_bps, rtt_ns, mtu)
        limit = size.limit_bytes or (size.limit_packets or 0) * frame_bytes(mtu)
    loss = wire.loss.probability if isinstance(wire.loss, RandomLoss) else 0.0
    return {"rate": wire.rate_bps or 0, "delay": wire.delay_ns, "loss": loss, "queue": limit}


def _is_near(rate: int, declared: int) -> bool:
    return declared / 50 <= rate <= declared * 10 and rate <= 10**9


def _rate_text(rate_bps: int) -> str:
    """Return a rate as an experiment file has it."""
    for unit, scale in (("gbit", 10**9), ("mbit", 10**6), ("kbit", 1000)):
        if rate_bps >= scale and rate_bps * 10 % scale == 0:
            return f"{rate_bps / scale:g}{unit}"
    return f"{rate_bps}bit"


def _loss_label(loss: float) -> str:
    return "100%, the link is down" if loss == 1 else format_percent(loss)


def _slider(quantity: Quantity, options: Sequence[Option], declared: Option) -> Slider:
    """Return a slider that has the declared value as one of its options."""
    others = [one for one in options if one.number != declared.number]
    return Slider(quantity, tuple(sorted([*others, declared], key=lambda one: one.number)))


def _nearest(options: Sequence[Option], number: float) -> int:
    return min(range(len(options)), key=lambda index: abs(options[index].number - number))


def _with_step(steps: list[Any], at_ns: int, quantity: Quantity, value: Any) -> list[Any]:
    """Return the steps of a schedule with one more change, in order of time."""
    position = 0
    while position < len(steps) and parse_duration(steps[position]["at"]) <= at_ns:
        position += 1
    before = steps[position - 1] if position else None
    if before is not None and parse_duration(before["at"]) == at_ns and "over" not in before:
        return [*steps[: position - 1], {**before, quantity: value}, *steps[position:]]
    return [*steps[:position], {"at": _time_text(at_ns), quantity: value}, *steps[position:]]


def _time_text(time_ns: int) -> str:
    """Return a time as an experiment file has it."""
    for unit, scale in (("s", 10**9), ("ms", _MS), ("us", 1000)):
        number = Fraction(time_ns, scale)
        if (number * 1000).denominator == 1:
            return f"{float(number):g}{unit}" if number < 10**5 else f"{int(number)}{unit}"
    return f"{time_ns}ns"
