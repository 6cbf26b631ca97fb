# SPDX-License-Identifier: Apache-2.0
"""Find out what an expectation means in an experiment: what its names stand for, and what its terms select."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.expect.errors import ExpectError
from lab.expect.names import (
    ALIASES,
    ALL,
    COLUMNS,
    EVENTS,
    FUNCTIONS,
    OF_TRACE,
    PROPERTIES,
    SAMPLES,
    SERIES,
    STATES,
    Column,
    Declared,
    Event,
    Kind,
    Samples,
    Series,
    States,
    all_names,
    quantile_of,
)
from lab.expect.parser import parse
from lab.expect.quantities import NUMBER, Dimension
from lab.expect.setting import Selection, Setting, selection
from lab.expect.tree import Condition, Expression, Measure, Negative, Number, Operation, measures
from lab.units import show

__all__ = ["Meaning", "Source", "Term", "understand"]

Source = Column | Series | States | Samples | Event | Declared
"""Where the value of a term comes from."""

_OTHER_FUNCTIONS = {
    "peak": "max",
    "avg": "mean",
    "average": "mean",
    "p50": "median",
    "maximum": "max",
    "minimum": "min",
}
_PLAIN = {"rtt": "srtt", "latency": "latency"}
"""Other names of families of columns, quantities over time and samples."""


@dataclass(frozen=True)
class Term:
    """A term that names something, and what it means."""

    measure: Measure
    source: Source
    statistic: str | None
    """What is taken of a quantity over time, of samples or of events; None if nothing is to be chosen."""
    selection: Selection

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of flows that have it."""
        return ALL if isinstance(self.source, Declared) else self.source.kinds

    @property
    def dimension(self) -> Dimension:
        """The dimension of its value; a state and a number of events have none."""
        if isinstance(self.source, Event):
            return NUMBER if self.statistic == "count" else Dimension(0, 1)
        return NUMBER if isinstance(self.source, States) else self.source.dimension

    def is_like(self, other: Term) -> bool:
        """Return whether both measure the same, maybe of different flows or cells."""
        mine, others = self.measure, other.measure
        return (self.source, self.statistic, str(mine.time)) == (other.source, other.statistic, str(others.time))


@dataclass(frozen=True)
class Meaning:
    """An expectation that is understood."""

    condition: Condition
    terms: Mapping[Measure, Term]
    subject: Term
    """The term whose selectors say in which cells, and for which flows, the condition must hold."""
    state: str | None = None
    """The name of the state that a condition on a state is about; None for a condition on numbers."""
    dimension: Dimension = NUMBER
    """The dimension of what is observed."""


def understand(text: str, setting: Setting) -> Meaning:
    """Return what an expectation means in an experiment.

    Raises:
        ExpectError: It cannot be understood.
    """
    condition = parse(text)
    limits = [comparison.limit for comparison in condition.comparisons]
    state = _state(condition)
    parts = [condition.observed] if state is not None else [condition.observed, *limits]
    terms = {one: _term(one, setting) for part in parts for one in measures(part)}
    subject = _subject(condition, terms)
    if state is not None:
        return Meaning(condition, terms, subject, state)
    if condition.stay is not None:
        message = (
            "found 'for' or 'every' behind a comparison of numbers; expected them behind a state, mode == ProbeRTT"
        )
        raise ExpectError(message, condition.stay.column)
    dimension = _dimension(condition.observed, terms)
    for limit in limits:
        found = _dimension(limit, terms)
        if found != dimension:
            message = (
                f"found {limit}, which is {_named(found)}; expected {_named(dimension)}, as {condition.observed} is"
            )
            raise ExpectError(message, limit.column)
    _known_flows(subject, terms.values(), setting)
    return Meaning(condition, terms, subject, None, dimension)


def _subject(condition: Condition, terms: Mapping[Measure, Term]) -> Term:
    ordered = [terms[one] for one in measures(condition.observed)]
    measured = [term for term in ordered if not isinstance(term.source, Declared)]
    if not ordered:
        message = "found a condition about numbers alone; expected a metric on one side, such as goodput"
        raise ExpectError(message, condition.observed.column)
    return (measured or ordered)[0]


def _state(condition: Condition) -> str | None:
    """Return the name of the state that a condition is about; None if it is about numbers."""
    observed = condition.observed
    if not isinstance(observed, Measure) or observed.name not in STATES or observed.statistic is not None:
        return None
    states = STATES[observed.name]
    listed = ", ".join(states.names)
    (comparison, *more) = condition.comparisons
    if more or comparison.comparator not in ("==", "!="):
        message = f"found a comparison of {observed.name} with a number; expected == or !=, and one of {listed}"
        raise ExpectError(message, observed.column)
    limit = comparison.limit
    if not isinstance(limit, Measure) or limit.name not in states.names or limit.selectors or limit.time:
        message = f"found {limit}; expected the name of a {observed.name}: {listed}"
        raise ExpectError(message, limit.column, word=str(limit), choices=states.names)
    if condition.confidence is not None:
        message = "found 'with … confidence' for a state; expected it for numbers, because a state has no mean"
        raise ExpectError(message, observed.column)
    if condition.stay is not None and comparison.comparator == "!=":
        message = "found 'for' or 'every' behind !=; expected them behind =="
        raise ExpectError(message, condition.stay.column)
    if condition.stay is not None and observed.time is not None and observed.time.end is None:
        raise ExpectError("found 'for' or 'every' at a moment; expected a period", condition.stay.column)
    return limit.name


def _term(one: Measure, setting: Setting) -> Term:
    source, statistic = _source(one)
    chosen = selection(one.selectors, setting)
    if chosen.during and not isinstance(source, Series):
        message = f"found {' and '.join(f'{name}=' for name in chosen.during)} with {one.name}; expected a quantity"
        raise ExpectError(f"{message} over time ({', '.join(SERIES)}), such as max(cwnd, mode=ProbeRTT)", one.column)
    _is_recorded(one, source, chosen, setting)
    term = Term(one, source, statistic, chosen)
    kinds = set[Kind]()
    for flow in chosen.flows or setting.groups:
        kinds |= setting.groups[setting.members.get(flow, flow)]
    if not kinds & term.kinds:
        what = " or ".join(_KINDS[kind] for kind in sorted(term.kinds))
        of = (
            f"found {one.name} of {', '.join(chosen.flows)}"
            if chosen.flows
            else f"found {one.name} without such a flow"
        )
        raise ExpectError(f"{of}; expected {what}, which has it", one.column)
    return term


_KINDS: Mapping[Kind, str] = {
    "tcp": "a TCP flow",
    "udp": "a UDP flow",
    "short_flows": "a group of short flows",
    "probe": "a latency probe",
}


def _source(one: Measure) -> tuple[Source, str | None]:
    """Return where the value of a term comes from, and which statistic of it is meant."""
    name, statistic = one.name, one.statistic
    if statistic is not None and statistic not in FUNCTIONS and quantile_of(statistic) is None:
        raise _unknown_function(one)
    if name in PROPERTIES:
        if statistic is not None or one.time is not None:
            found = f"found {one}; expected {name} alone, because it is what the experiment declares"
            raise ExpectError(found, one.column)
        return PROPERTIES[name], None
    if statistic == "count" or (statistic in ("first", "last") and name in EVENTS):
        return _event(one), statistic
    if name in STATES:
        if statistic is not None:
            message = f"found {statistic}({name}); expected {name} == {STATES[name].names[-1]}, because it is no number"
            raise ExpectError(message, one.column)
        return STATES[name], None
    is_over_time = one.time is not None or any(selector.name in STATES for selector in one.selectors)
    column = None if is_over_time else _column_of(name, statistic)
    if column is not None:
        return COLUMNS[column], None
    plain = _PLAIN.get(name, name)
    if plain in SERIES:
        return SERIES[plain], statistic or "mean"
    return _samples(one, plain), statistic


def _column_of(name: str, statistic: str | None) -> str | None:
    if statistic is None:
        return name if name in COLUMNS else ALIASES.get(name)
    words = {"p50": "median"}.get(statistic, statistic)
    family = f"{_PLAIN.get(name, name)}_{words}"
    return family if family in COLUMNS else ALIASES.get(family)


def _event(one: Measure) -> Event:
    if one.name not in EVENTS:
        message = f"found {one.statistic}({one.name}); expected an event ({', '.join(EVENTS)})"
        raise ExpectError(message, one.column, word=one.name, choices=EVENTS)
    if one.time is not None and one.time.end is None:
        raise ExpectError(f"found {one}; expected a period, such as over 2s..5s", one.column)
    return EVENTS[one.name]


def _samples(one: Measure, plain: str) -> Samples:
    name, statistic = one.name, one.statistic
    if plain in SAMPLES:
        if statistic is None:
            message = f"found {name} without a statistic; expected one, such as median({name})"
            raise ExpectError(message, one.column)
        if statistic in ("first", "last"):
            raise ExpectError(f"found {statistic}({name}); expected a statistic, such as median({name})", one.column)
        if one.time is not None and one.time.end is None:
            raise ExpectError(f"found {one}; expected a period, such as over 2s..5s", one.column)
        return SAMPLES[plain]
    if name in EVENTS:
        raise ExpectError(f"found {name} alone; expected count({name}), first({name}) or last({name})", one.column)
    if name in COLUMNS or name in ALIASES:
        if one.time is not None:
            message = f"found {one}; expected a quantity over time ({', '.join(SERIES)})"
            raise ExpectError(message, one.column)
        found = f"found {statistic}({name}); expected {name} alone, because it is one number for each flow and trial"
        raise ExpectError(found, one.column)
    message = f"unknown metric {show(name)}"
    raise ExpectError(message, one.column, word=name, choices=[*all_names(), *FUNCTIONS])


def _unknown_function(one: Measure) -> ExpectError:
    word = one.statistic or ""
    if word in ALIASES or word in COLUMNS or word in SERIES:
        message = f"found {show(one.name)} in {word}(…); expected a selector, such as cc={one.name}"
        return ExpectError(message, one.column)
    if word in _OTHER_FUNCTIONS:
        return ExpectError(f"unknown function {show(word)}: write {_OTHER_FUNCTIONS[word]}", one.column)
    message = f"unknown function {show(word)} (functions: mean, median, min, max, p1 to p99, count, first, last)"
    return ExpectError(message, one.column, word=word, choices=FUNCTIONS)


def _is_recorded(one: Measure, source: Source, chosen: Selection, setting: Setting) -> None:
    """Make sure that the experiment records what a term needs."""
    needs = (isinstance(source, Series) and source.name not in ("goodput", "queue", "queueing_delay")) or (
        isinstance(source, Column) and source.name.startswith(OF_TRACE)
    )
    needs |= isinstance(source, States) or bool(chosen.during) or source.name in ("reduction", "timeout")
    if (needs or source.name == "decrease_factor") and "tcp_probe" not in setting.collectors:
        message = f"found {one.name}, which the collector tcp_probe records; expected tcp_probe in 'collect'"
        raise ExpectError(message, one.column)
    of = getattr(source, "algorithms", None)
    if of is not None and not of & setting.algorithms:
        message = f"found {one.name}, which only {', '.join(of)} has; expected a flow with cc: {next(iter(of))}"
        raise ExpectError(message, one.column)


def _known_flows(subject: Term, terms: Iterable[Term], setting: Setting) -> None:
    """Make sure that it is clear whose value each term has."""
    for term in terms:
        if term.selection.names_flows or isinstance(term.source, Declared) or term.kinds & subject.kinds:
            continue
        having = [name for name, kinds in setting.groups.items() if kinds & term.kinds]
        if len(having) > 1:
            name = term.measure.name
            message = (
                f"found {name} without a flow; expected one of those that have it, such as {name}(flow={having[0]})"
            )
            raise ExpectError(message, term.measure.column)


def _dimension(part: Expression, terms: Mapping[Measure, Term]) -> Dimension:
    if isinstance(part, Number):
        return part.dimension
    if isinstance(part, Measure):
        term = terms[part]
        if isinstance(term.source, States):
            names = ", ".join(term.source.names)
            raise ExpectError(f"found {part} in arithmetic; expected {part} == one of {names}", part.column)
        return term.dimension
    if isinstance(part, Negative):
        return _dimension(part.of, terms)
    return _of_operation(part, terms)


def _of_operation(part: Operation, terms: Mapping[Measure, Term]) -> Dimension:
    left, right = _dimension(part.left, terms), _dimension(part.right, terms)
    if part.operator == "*":
        return left * right
    if part.operator == "/":
        return left / right
    if left != right:
        message = f"found {part.right}, which is {_named(right)}; expected {_named(left)}, as {part.left} is"
        raise ExpectError(message, part.right.column)
    return left


def _named(dimension: Dimension) -> str:
    return str(dimension)
