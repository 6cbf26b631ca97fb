# SPDX-License-Identifier: Apache-2.0
"""Write a site to a folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.errors import InputError
from lab.site.entries import Entry, entry_of
from lab.site.pages import front_page, summary
from lab.store.files import copy_tree, write_file, writing

OWN = ("index.html", "summary.md")


def write_site(
    folders: Sequence[Path], output: Path, *, title: str, url: str | None = None, others: Sequence[Path] = ()
) -> list[Entry]:
    """Write the reports of the runs in *folders*, and pages that sum them up, to the new folder *output*.

    The runs are copied with their raw records, to which the reports link.  *others* are further files, such as the log
    of another test, which are copied, too, and linked from the front page.

    Raises:
        InputError: A folder is not a run, or has no report; *output* is there already; two files have the same name.
        StoreError: The folder cannot be written.
    """
    entries = [entry_of(folder) for folder in folders]
    places = [entry.place for entry in entries]
    for place in places:
        if places.count(place) > 1:
            raise InputError(f"found the run {place} twice; expected each run once")
    names = [*OWN, *(entry.experiment for entry in entries)]
    for other in others:
        if not other.is_file():
            raise InputError(f"{other}: found no such file; expected one that the site can show")
        if other.name in names:
            raise InputError(f"{other}: found a file with the name of another part of the site; expected another name")
        names.append(other.name)
    if output.exists():
        raise InputError(f"{output}: found something there already; expected the name of a new folder")
    with writing(output):
        output.mkdir(parents=True)
        for entry in entries:
            (output / entry.experiment).mkdir(exist_ok=True)
            copy_tree(entry.path, output / entry.place)
        for other in others:
            shutil.copyfile(other, output / other.name)
        write_file(output / "index.html", front_page(title, entries, others).encode())
        write_file(output / "summary.md", summary(title, entries, url).encode())
    return entries
