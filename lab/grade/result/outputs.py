# SPDX-License-Identifier: Apache-2.0
"""The grade of one submission as files and texts for other programs: JSON, JUnit, and what GitHub Classroom reads."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from xml.etree import ElementTree

from lab.grade.grading import WORK, Student, student_folder
from lab.grade.result.grade import CriterionDocument, GradeDocument
from lab.grade.result.student_page import WORDS, number, sentence, student_page
from lab.grade.scenario.task import FIGURES
from lab.store.files import to_json, write_file, writing

__all__ = ["classroom_result", "junit", "write_grade"]

_NOT_IN_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF), "\ufffd")
"""Characters that XML 1.0 does not allow."""


def write_grade(output: Path, student: Student, grade: GradeDocument) -> Path:
    """Write the folder of a submission: ``index.html``, ``grade.json`` and ``junit.xml``; return the path of the page.

    Raises:
        StoreError: It cannot be written.
    """
    folder = student_folder(output, student.place)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    work = output / WORK / student.place
    page = student_page(grade, lambda scenario: work / scenario / FIGURES)
    write_file(folder / "index.html", page.encode(errors="replace"))
    write_file(folder / "junit.xml", junit(grade))
    # Last, so that a grade whose file is there has its page as well.
    write_file(folder / "grade.json", to_json(grade))
    return folder / "index.html"


def junit(grade: GradeDocument) -> bytes:
    """Return a grade as a JUnit file: a test for each criterion, which passes if it gives all points."""
    criteria = grade["criteria"]
    failed = [one for one in criteria if one["verdict"] in ("none", "part", "failed")]
    waiting = [one for one in criteria if one["verdict"] == "waiting"]
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"lab grade {grade['assignment']['name']}"),
        tests=str(len(criteria)),
        failures=str(len(failed)),
        errors="0",
        skipped=str(len(waiting)),
        time="0",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("points", "most"):
        value = number(grade["points"] if name == "points" else grade["most"])
        ElementTree.SubElement(properties, "property", name=f"lab_{name}", value=value)
    for one in criteria:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(grade["assignment"]["name"]), name=_clean(one["title"]), time="0"
        )
        _test(case, one)
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites, " ")
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _test(case: ElementTree.Element, one: CriterionDocument) -> None:
    points = f"{number(one['points'])} of {number(one['most'])} points"
    properties = ElementTree.SubElement(case, "properties")
    texts = {"points": number(one["points"]), "most": number(one["most"]), "verdict": WORDS[one["verdict"]]}
    texts |= {"observed": one["observed"], "full": one["full"], "none": one["none"], "margin": one["margin"]}
    for name, value in texts.items():
        if value:
            ElementTree.SubElement(properties, "property", name=f"lab_{name}", value=_clean(value))
    if one["verdict"] == "waiting":
        ElementTree.SubElement(case, "skipped", message=_clean(sentence(one)))
    elif one["verdict"] != "full":
        failure = ElementTree.SubElement(case, "failure", message=_clean(f"{points}: {sentence(one)}"[:500]))
        failure.text = _clean(sentence(one))


def _clean(text: str) -> str:
    return text.encode(errors="replace").decode().translate(_NOT_IN_XML)


def classroom_result(grade: GradeDocument) -> str:
    """Return what GitHub Classroom's reporter of grades reads from the output of a step: JSON, coded in Base64.

    The status is ``pass`` if nothing is wrong with the submission as a whole; a criterion that gives some of its points
    is no reason to show the commit as failed.
    """
    criteria = [one for one in grade["criteria"] if one["verdict"] != "waiting"]
    document = {
        "version": 1,
        "status": "error" if grade["messages"] else "pass",
        "max_score": grade["most"],
        "tests": [
            {
                "name": one["title"],
                "status": "pass" if one["verdict"] == "full" else "fail",
                "score": one["points"],
                "message": sentence(one),
                "test_code": one["condition"],
                "filename": "",
                "line_no": 0,
                "duration": 0,
            }
            for one in criteria
        ],
    }
    return base64.b64encode(json.dumps(document).encode()).decode()
