# SPDX-License-Identifier: Apache-2.0
"""Grade submissions: run their scenarios in processes of their own, and write the grade of each as soon as it is
known."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from lab.api.engines import engine_named
from lab.bundle.choose import check_kernels, using
from lab.cc.said import HEADER
from lab.cc.sources import MODULE_SUFFIX, SUFFIX, gather
from lab.engine.base import Step
from lab.engine.bundles import Bundle
from lab.errors import InputError, SpecError
from lab.experiment.read.load import LoadedExperiment
from lab.grade.assignment.read import Loaded
from lab.grade.result.grade import GradeDocument, Manual, grade_of
from lab.grade.scenario.pool import run_tasks
from lab.grade.scenario.task import Report, Task, read_report
from lab.grade.submission.changes import answers_in
from lab.grade.submission.intake import Submission
from lab.grade.submission.sources import forbidden_names
from lab.grade.submission.stage import lay_out, scenario_overrides
from lab.plan.plan import make_plan
from lab.run.modules import has_modules, prepare_headers
from lab.store.files import writing
from lab.store.folders import remove_folder, scratch_folder
from lab.version import version

__all__ = ["Options", "Student", "grade_all", "prepare", "shared_out", "student_folder"]

STUDENTS = "students"
"""The folder with a folder for each submission: what its student may see."""
WORK = "work"
"""The folder with the runs, hidden scenarios included: what only the teacher may see."""


@dataclass(frozen=True)
class Options:
    """How submissions are graded."""

    output: Path
    processors: tuple[int, ...]
    """The processors to use."""
    read_cache: bool = True
    """Whether trials come from the cache, and scenarios that were graded before are not run again."""
    engine: str | None = None
    bundles: Mapping[str, str] = field(default_factory=dict)
    """Kernel → the digest of its bundle, as :func:`prepare` returns them: all submissions run in the same ones."""


@dataclass
class Student:
    """A submission while it is graded."""

    submission: Submission
    place: str
    """The name of its folders."""
    answers: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    overrides: dict[str, list[str]] = field(default_factory=dict)
    """Name of a scenario → the overrides with which it is run."""
    reports: dict[str, Report] = field(default_factory=dict)

    @property
    def can_run(self) -> bool:
        return not self.submission.problems and not self.problems


def student_folder(output: Path, place: str) -> Path:
    """Return the folder with the grade of a submission."""
    return output / STUDENTS / place


def grade_all(
    loaded: Loaded,
    submissions: Sequence[Submission],
    manual: Mapping[str, Mapping[str, Manual]],
    options: Options,
    graded: Callable[[Student, GradeDocument], None],
    step: Step,
) -> list[GradeDocument]:
    """Grade all submissions and return their grades in the same order.

    *graded* is called as soon as the last scenario of a submission has ended.  What an earlier call with the same
    output has graded is not run again, unless the submission, the assignment or the version of lab has changed.

    Raises:
        InputError: Another process grades into the same folder.
        MachineryError: The results cannot be written.
    """
    students = [_student(loaded, one, place) for one, place in zip(submissions, _places(submissions), strict=True)]
    grades: dict[str, GradeDocument] = {}

    def finish(student: Student) -> None:
        given = manual.get(student.submission.name, {})
        grade = grade_of(loaded, student.submission, student.reports, student.answers, given, student.problems)
        grades[student.place] = grade
        graded(student, grade)

    with _alone(options.output), scratch_folder("grade", step) as scratch:
        tasks: dict[str, tuple[Task, Student]] = {}
        for student in students:
            own = list(_tasks(loaded, student, options, scratch))
            tasks |= {task.output: (task, student) for task in own}
            if not own:
                finish(student)

        def done(task: Task, report: Report) -> None:
            _task, student = tasks[task.output]
            student.reports[task.name] = report
            if len(student.reports) == len(loaded.scenarios):
                student.reports = {name: student.reports[name] for name in loaded.scenarios}
                shutil.rmtree(_stage(scratch, student), ignore_errors=True)
                finish(student)

        waiting = [task for task, _student in tasks.values()]
        asyncio.run(run_tasks(waiting, shared_out(options.processors, len(waiting)), done))
    return [grades[student.place] for student in students]


def prepare(experiments: Mapping[str, LoadedExperiment], step: Step, chosen: Sequence[Bundle] = ()) -> dict[str, str]:
    """Build what the trials of these experiments need, so that no submission waits for it.

    Returns:
        Kernel → the digest of the bundle with it: one of *chosen* if there are any, otherwise the default one.

    Raises:
        InputError: Bundles are chosen, but not for each kernel.
        MachineryError: It cannot be built.
    """
    known = set[str]()
    bundles: dict[str, str] = {}
    for loaded in experiments.values():
        plan = make_plan(loaded.checked)
        key = json.dumps([plan.engine, sorted(plan.kernels), has_modules(trial.job for trial in plan.trials)])
        if key in known:
            continue
        known.add(key)
        check_kernels(chosen, plan.kernels, plan.engine)
        found = engine_named(plan.engine, plan, loaded.packages)
        try:
            with using(chosen):
                found.locate(step)
            bundles |= {kernel: bundle.digest for kernel, bundle in found.bundles().items()}
            prepare_headers(plan, found, step)
            if plan.engine == "vm":
                # This makes the templates.  What User-mode Linux prepares belongs to the process that runs it.
                asyncio.run(found.prepare(step))
        finally:
            found.close()
    return bundles


def shared_out(processors: Sequence[int], tasks: int) -> list[list[int]]:
    """Return the processors of each of the tasks that run at the same time: one each, or more if there are few
    tasks."""
    number = max(1, min(len(processors), tasks))
    return [list(processors[place::number]) for place in range(number)]


def _places(submissions: Sequence[Submission]) -> list[str]:
    """Return the name of a folder for each submission, which is its own name if that can be one."""
    found: list[str] = []
    for one in submissions:
        plain = re.sub(r"[^A-Za-z0-9_.+=,@-]+", "-", one.name).strip(".-")[:80]
        place = plain
        if place != one.name or place in found:
            digest = hashlib.sha256(one.name.encode(errors="surrogateescape")).hexdigest()[:8]
            place = f"{plain or 'submission'}-{digest}"
        found.append(place)
    return found


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Make sure that no other process grades into the same folder."""
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{output}: another `lab grade` writes to this folder; wait for it, or choose another"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _student(loaded: Loaded, submission: Submission, place: str) -> Student:
    """Read the files of a submission; what is wrong with them is among the problems."""
    student = Student(submission, place)
    for name, handed in loaded.assignment.submission.items():
        data = submission.files.get(name)
        if data is None:
            continue
        try:
            if handed.kind == "answers":
                student.answers |= answers_in(name, data)
            elif handed.kind == "congestion control":
                student.problems += _includes(name, data, submission.files)
                student.problems += _forbidden(name, data, handed.may_not_use)
        except SpecError as error:
            student.problems.append(str(error))
    try:
        student.overrides = {
            name: scenario_overrides(loaded, scenario, submission.files) for name, scenario in loaded.scenarios.items()
        }
    except SpecError as error:
        student.problems.append(str(error))
    return student


def _includes(name: str, data: bytes, files: Mapping[str, bytes]) -> list[str]:
    """Return the problems of includes: the folder in which the source is compiled has files of the teacher, too."""
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        if path in files:
            return files[path]
        asked.append(path)
        return None

    suffix = SUFFIX if name.endswith(SUFFIX) else MODULE_SUFFIX
    if not name.endswith(suffix):
        return []
    try:
        gather(name, read, suffix)
    except InputError as error:
        return [f"{name}: {error}"]
    return [
        f"{name}: found an include of {path!r}; expected lab_cc.h, or a file that belongs to the submission"
        for path in asked
        if path not in (name, HEADER)
    ]


def _forbidden(name: str, data: bytes, patterns: Sequence[str]) -> list[str]:
    listed = ", ".join(patterns)
    return [
        f"{name}:{token.line}: found {token.text}, which this assignment does not allow; expected none of {listed}"
        for token in forbidden_names(data.decode(errors="replace"), patterns)
    ]


def _stage(scratch: Path, student: Student) -> Path:
    return scratch / student.place


def _tasks(loaded: Loaded, student: Student, options: Options, scratch: Path) -> Iterator[Task]:
    """Yield what has to be run of a submission, laid out in *scratch*; the reports of the rest are read."""
    if not student.can_run:
        return
    is_laid_out = False
    for name, scenario in loaded.scenarios.items():
        folder = options.output.absolute() / WORK / student.place / name
        rubric = {
            one: criterion.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for one, criterion in loaded.rubric.items()
            if criterion.scenario == name
        }
        key = _key(loaded, student, name, rubric, options)
        report = read_report(folder) if options.read_cache else None
        if report is not None and report.key == key and report.is_final:
            student.reports[name] = report
            continue
        stage = _stage(scratch, student)
        if not is_laid_out:
            stage.mkdir()
            lay_out(loaded, student.submission.files, stage)
            is_laid_out = True
        remove_folder(folder)
        with writing(folder):
            folder.mkdir(parents=True)
        yield Task(
            name=name,
            stage=str(stage),
            experiment=scenario.file,
            overrides=student.overrides[name],
            rubric=rubric,
            answers=student.answers,
            output=str(folder),
            processors=[],
            wall_s=loaded.assignment.limits.scenario / 1e9,
            read_cache=options.read_cache,
            key=key,
            engine=options.engine,
            bundles=sorted(options.bundles.values()),
            modules=loaded.assignment.interfaces.modules,
            may_not_use=[name for one in loaded.assignment.submission.values() for name in one.may_not_use],
        )


def _key(loaded: Loaded, student: Student, scenario: str, rubric: Mapping[str, object], options: Options) -> str:
    """Return a digest of everything that the report of a scenario depends on."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(loaded.files.items())}
    where = [options.engine, dict(options.bundles)]
    about = [version(), scenario, rubric, files, student.submission.digest, student.overrides[scenario], where]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
