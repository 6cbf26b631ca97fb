# SPDX-License-Identifier: Apache-2.0
"""Check an assignment as a whole: that its parts fit together, and that its experiments and conditions can be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lab.api.engines import all_overrides
from lab.errors import SpecError
from lab.expect.errors import ExpectError
from lab.expect.meaning import Meaning, understand
from lab.expect.quantities import NUMBER, parsed
from lab.expect.setting import Setting
from lab.experiment.check.expect import setting_of, worded
from lab.experiment.check.problems import Problem, unknown
from lab.experiment.check.validate import CheckedExperiment
from lab.experiment.read.load import LoadedExperiment, Source
from lab.experiment.schema.fields import Path as FieldPath
from lab.grade.assignment.read import Loaded
from lab.grade.assignment.schema import Criterion, kind_of
from lab.grade.submission.objects import NO_MODULES
from lab.grade.submission.stage import lay_out, load_scenario, scenario_overrides
from lab.plan.plan import make_plan
from lab.run.modules import has_modules
from lab.units import show

__all__ = ["answer_condition", "check_assignment", "error_share", "scale_conditions", "setting_of_scenario"]


def check_assignment(loaded: Loaded, folder: Path, engine: str | None = None) -> dict[str, LoadedExperiment]:
    """Return the experiments of all scenarios with the starter's files, laid out in the empty *folder*.

    With *engine*, they are run there rather than where they say.

    Raises:
        SpecError: The assignment has problems; the message has one line for each, with file, line, column and field.
    """
    sources = [Source(path, document) for path, document in loaded.documents]
    problems = list(_fields(loaded))
    _stop_at(sources, problems)
    lay_out(loaded, loaded.starter, folder)
    experiments: dict[str, LoadedExperiment] = {}
    for name, scenario in loaded.scenarios.items():
        try:
            # The fields that students may change are in the scenarios already; the starter may leave them out.
            overrides = all_overrides(scenario_overrides(loaded, scenario, loaded.starter), engine)
            experiments[name] = load_scenario(folder, scenario, overrides)
        except SpecError as error:
            text = str(error).replace(f"{folder}/", f"{loaded.folder}/").replace("\n", "\n    ")
            problems.append(
                Problem(("scenarios", name), f"the experiment cannot be used with the starter:\n    {text}")
            )
    if not loaded.assignment.interfaces.modules:
        problems += [
            Problem(("scenarios", name), f"{NO_MODULES}; set 'interfaces: {{modules: true}}' to allow them")
            for name, one in experiments.items()
            if has_modules(trial.job for trial in make_plan(one.checked).trials)
        ]
    _stop_at(sources, problems)
    settings = {name: setting_of_scenario(one.checked) for name, one in experiments.items()}
    for name, criterion in loaded.rubric.items():
        if criterion.scenario is not None:
            problems += _conditions(("rubric", name), criterion, settings[criterion.scenario])
    _stop_at(sources, problems)
    return experiments


def setting_of_scenario(checked: CheckedExperiment) -> Setting:
    """Return what conditions can name in an experiment."""
    return setting_of(((axis.key, axis.values) for axis in checked.axes), (cell.experiment for cell in checked.cells))


def scale_conditions(criterion: Criterion) -> tuple[str, str]:
    """Return the two conditions whose sides are the value of a scale and its ends: for full and for no points."""
    return f"({criterion.value}) >= ({criterion.full})", f"({criterion.value}) >= ({criterion.none})"


def _stop_at(sources: list[Source], problems: list[Problem]) -> None:
    """Raise the problems, each with its place in the first of the files that has the field."""
    if not problems:
        return
    for problem in problems:
        top = problem.path[:2]
        source = next((one for one in sources if top in one.document.keys), sources[0])
        source.lines.append((source.place(problem), str(problem)))
    lines = []
    for source in sources:
        try:
            source.stop_at_faults()
        except SpecError as error:
            lines.append(str(error))
    raise SpecError("\n".join(lines))


def _fields(loaded: Loaded) -> Iterator[Problem]:
    """Yield the problems between fields, before any experiment is read."""
    assignment = loaded.assignment
    if assignment.handout not in loaded.files:
        yield Problem(("handout",), f"found {show(assignment.handout)}, which is not there; expected a file")
    for name, handed in assignment.submission.items():
        here = ("submission", name)
        if name not in loaded.files:
            message = f"found no file {name} in the folder of the assignment; expected what students begin with"
            yield Problem(here, message, "key")
        if handed.may_change and handed.kind != "experiment":
            yield Problem((*here, "may_change"), f"found it for {handed.kind}; expected it for an experiment only")
        if handed.kind == "experiment" and not handed.may_change:
            yield Problem(here, "'may_change' is missing (the fields that students may set)", "key")
        if handed.may_not_use and handed.kind != "congestion control":
            yield Problem(
                (*here, "may_not_use"), f"found it for {handed.kind}; expected it for a congestion control only"
            )
    for name, scenario in loaded.scenarios.items():
        if scenario.file not in loaded.files:
            yield Problem(("scenarios", name), f"found {show(scenario.file)}, which is not there; expected a file")
    if assignment.tournament is not None and assignment.tournament.file not in loaded.files:
        yield Problem(("tournament", "file"), f"found {show(assignment.tournament.file)}, which is not there")
    for name, criterion in loaded.rubric.items():
        yield from _criterion(("rubric", name), criterion, loaded)


_FIELDS = {
    "condition": ("scenario", "that"),
    "scale": ("scenario", "value", "full", "none"),
    "answer": ("scenario", "answer", "value", "full", "none"),
    "choice": ("answer", "choice"),
    "question": ("question",),
}
"""Kind of a criterion → the fields that it must have."""
_MAY_HAVE = {"question": ("answer",)}
_ALL = ("scenario", "that", "value", "full", "none", "answer", "choice", "question")


def _criterion(here: FieldPath, criterion: Criterion, loaded: Loaded) -> Iterator[Problem]:
    kind = kind_of(criterion)
    given = [name for name in _ALL if getattr(criterion, name) is not None]
    needed = _FIELDS[kind]
    if not set(given) & {"that", "value", "answer", "choice", "question"}:
        what = "'that', a condition; 'value', 'full' and 'none'; 'answer'; or 'question'"
        yield Problem(here, f"found no field that says what points are given for; expected {what}", "key")
        return
    for name in needed:
        if name not in given:
            yield Problem(here, f"'{name}' is missing, which {_KINDS[kind]} needs", "key")
    for name in given:
        if name not in needed and name not in _MAY_HAVE.get(kind, ()):
            yield Problem(here, f"found '{name}', which {_KINDS[kind]} does not have", child=name)
    if criterion.scenario is not None and criterion.scenario not in loaded.scenarios:
        names = list(loaded.scenarios)
        yield Problem((*here, "scenario"), unknown("scenario", criterion.scenario, names, plural="scenarios"))
    if criterion.answer is not None and all(one.kind != "answers" for one in loaded.assignment.submission.values()):
        yield Problem((*here, "answer"), "found an answer; expected a file of the kind 'answers' in 'submission', too")
    if kind == "answer":
        for name in ("full", "none"):
            text = getattr(criterion, name)
            if text is not None and error_share(text) is None:
                message = f"found {show(text)}; expected an error as a percentage of what is measured, such as 5%"
                yield Problem((*here, name), message)


_KINDS = {
    "condition": "a condition",
    "scale": "a value on a scale",
    "answer": "an answer that is compared with a measured value",
    "choice": "an answer with a right choice",
    "question": "a question for a person",
}


def error_share(text: str) -> float | None:
    """Return an error as a fraction; None if *text* is no percentage."""
    found = parsed(text)
    return found[0] if found is not None and found[1] == NUMBER and text.strip().endswith("%") else None


def _conditions(here: FieldPath, criterion: Criterion, setting: Setting) -> Iterator[Problem]:
    """Yield the problems of the conditions of a criterion in its scenario."""
    kind = kind_of(criterion)
    if kind == "condition":
        assert criterion.that is not None
        yield from _understood((*here, "that"), criterion.that, criterion.that, setting)
    elif kind == "scale":
        for end, condition in zip(("full", "none"), scale_conditions(criterion), strict=True):
            yield from _understood((*here, end), condition, f"value and {end}", setting)
    elif kind == "answer":
        assert criterion.value is not None
        yield from _understood((*here, "value"), answer_condition(criterion.value, setting), criterion.value, setting)


_ZEROS = ("0", "0s", "0bit", "0B")
"""Nothing, in each dimension that a value may have."""


def answer_condition(value: str, setting: Setting) -> str:
    """Return a condition whose observed side is the *value* that an answer is compared with, and which always holds."""
    conditions = [f"({value}) >= {zero}" for zero in _ZEROS]
    for condition in conditions:
        try:
            understand(condition, setting)
        except ExpectError:
            continue
        return condition
    return conditions[0]


def _understood(here: FieldPath, condition: str, shown: str, setting: Setting) -> Iterator[Problem]:
    try:
        meaning: Meaning = understand(condition, setting)
    except ExpectError as error:
        yield Problem(here, worded(error, condition))
        return
    if meaning.state is not None and condition != shown:
        yield Problem(here, f"found the state {show(meaning.state)}; expected a value that is a number")
