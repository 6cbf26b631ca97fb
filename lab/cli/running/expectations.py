# SPDX-License-Identifier: Apache-2.0
"""Say on the terminal which expectations of a run are met: what was observed, and what was expected."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import EXIT_EXPECTATION_FAILED, EXIT_OK

if TYPE_CHECKING:
    from lab.evaluation.expectations.document import ExpectationsDocument

_STYLES = {"met": "green", "not met": "bold red", "cannot be judged": "bold red"}


def report_expectations(report_dir: Path, *, quiet: bool = False) -> int:
    """Print the outcome of a run's expectations on the standard error stream; return the exit code that follows.

    With *quiet*, those that are met are left out.
    """
    path = report_dir / "expectations.json"
    if not path.exists():
        return EXIT_OK
    return show_expectations(json.loads(path.read_text(encoding="utf-8")), report_dir / "index.html", quiet=quiet)


def show_expectations(document: ExpectationsDocument, page: Path | None, *, quiet: bool = False) -> int:
    """Print the outcome of expectations, and the *page* that shows more; return the exit code that follows."""
    from rich.text import Text

    from lab.cli.common import console, say

    out = console()
    all_of = document["expectations"]
    for one in all_of:
        if quiet and one["verdict"] == "met":
            continue
        out.print(Text.assemble((f"{one['verdict']}: ", _STYLES[one["verdict"]]), one["name"]), soft_wrap=True)
        for line in filter(None, (one["that"] if one["that"] != one["name"] else "", one["sentence"])):
            for part in textwrap.wrap(line, out.width - 5):
                out.print(Text(f"    {part}"), soft_wrap=True)
    missed = len(all_of) - document["counts"]["met"]
    if not missed:
        if not quiet:
            say("the expectation is met" if len(all_of) == 1 else f"all {len(all_of)} expectations are met")
        return EXIT_OK
    more = f"; see {page}" if page is not None else ""
    be = "is" if missed == 1 else "are"
    say(f"lab: {missed} of {len(all_of)} expectation{'' if len(all_of) == 1 else 's'} {be} not met{more}")
    return EXIT_EXPECTATION_FAILED
