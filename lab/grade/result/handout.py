# SPDX-License-Identifier: Apache-2.0
"""The handout of an assignment, from Markdown to a page of HTML that needs no other files, and from there to PDF.

What to hand in, and what points are given for, is added from the assignment file, so that a handout cannot promise
anything else.  Hidden criteria are only counted.
"""

from __future__ import annotations

import base64
import math
import mimetypes
import posixpath
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt

from lab.errors import InputError, MachineryError
from lab.grade.assignment.read import Loaded
from lab.grade.result.student_page import number
from lab.report.page.render import render_other
from lab.units import format_size

__all__ = ["handout_html", "write_pdf"]

_PDF_S = 120
"""How long making a PDF may take, in seconds."""
_KINDS = {
    "congestion control": "an algorithm in C",
    "experiment": "an experiment in YAML",
    "answers": "your answers in YAML",
}


def handout_html(loaded: Loaded) -> str:
    """Return the handout as a page.

    Raises:
        InputError: It is not text in UTF-8, or names a picture that is not there.
    """
    name = loaded.assignment.handout
    try:
        text = loaded.files[name].decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"found byte 0x{loaded.files[name][error.start]:02x}"
        raise InputError(f"{loaded.folder / name}: {found}; expected text in UTF-8") from None
    body = _with_pictures(_rendered(text), posixpath.dirname(name), loaded)
    public = {one: criterion for one, criterion in loaded.rubric.items() if one not in loaded.hidden}
    hidden = math.fsum(criterion.points for one, criterion in loaded.rubric.items() if one in loaded.hidden)
    return render_other(
        "handout.html.j2",
        {
            "title": loaded.assignment.title,
            "body": body,
            "handed": [
                {
                    "name": file,
                    "what": _KINDS[one.kind],
                    "most": format_size(one.most),
                    "optional": one.optional,
                    "may_change": one.may_change,
                    "may_not_use": one.may_not_use,
                }
                for file, one in loaded.assignment.submission.items()
            ],
            "criteria": [_row(file, one, loaded) for file, one in public.items()],
            "hidden": number(hidden) if hidden else "",
            "total": number(loaded.most_points),
        },
    )


def _row(name: str, one: Any, loaded: Loaded) -> dict[str, str]:
    scenario = loaded.scenarios.get(one.scenario or "")
    title = "" if scenario is None else scenario.title or (one.scenario or "").replace("_", " ").capitalize()
    if one.that is not None:
        what = one.that
    elif one.answer is None and one.value is not None:
        what = f"{one.value}: all points at {one.full}, none at {one.none}"
    else:
        what = ""
    text = one.question or (one.because if one.answer is not None else "")
    if one.answer is not None:
        text = f"{text} (answer {one.answer})".strip()
    return {
        "title": one.title or name.replace("_", " ").capitalize(),
        "points": number(one.points),
        "condition": what,
        "text": text,
        "scenario": title,
    }


def _rendered(text: str) -> str:
    """Return Markdown (CommonMark with tables) as HTML; HTML in it is shown as it is written."""
    parser = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    tokens = parser.parse(text)
    used: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            words = re.sub(r"[^a-z0-9]+", "-", tokens[place + 1].content.lower()).strip("-") or "section"
            used[words] = used.get(words, 0) + 1
            token.attrSet("id", words if used[words] == 1 else f"{words}-{used[words]}")
    found: str = parser.renderer.render(tokens, parser.options, {})
    return found


def _with_pictures(html: str, folder: str, loaded: Loaded) -> str:
    """Return HTML with the pictures in it that are files of the assignment."""

    def inside(found: re.Match[str]) -> str:
        source = unquote(found[1])
        if source.startswith(("data:", "https:", "http:")):
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, source))
        if path not in loaded.files:
            raise InputError(
                f"{loaded.folder / loaded.assignment.handout}: found the picture {source}, which is no file"
            )
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return f'<img src="data:{kind};base64,{base64.b64encode(loaded.files[path]).decode()}"'

    return re.sub(r'<img src="([^"]*)"', inside, html)


def write_pdf(html: str, path: Path) -> None:
    """Write a page as PDF, with WeasyPrint, which is a program of its own.

    Raises:
        MachineryError: WeasyPrint is not installed, or failed.
    """
    program = shutil.which("weasyprint")
    if program is None:
        raise MachineryError("a PDF needs WeasyPrint: install Debian's package weasyprint; HTML needs nothing")
    try:
        done = subprocess.run(
            [program, "--quiet", "-", str(path)],
            input=html.encode(),
            capture_output=True,
            check=False,
            timeout=_PDF_S,
        )
    except subprocess.TimeoutExpired:
        raise MachineryError(f"weasyprint did not end within {_PDF_S} s") from None
    if done.returncode != 0 or not path.is_file():
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise MachineryError(f"weasyprint could not write {path}: {said or f'exit code {done.returncode}'}")
