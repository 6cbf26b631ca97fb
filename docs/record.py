# SPDX-License-Identifier: Apache-2.0
"""Run what the pages show and put its output and pictures into them: ``python docs/record.py [PAGE…]``.

The files that a page asks its readers to save are taken from the page itself.  Everything runs in a temporary folder
that has this checkout's ``.venv``, ``lab``, ``experiments`` and ``assignments``; it takes some minutes and needs no
root.  Screenshots need Debian's package chromium.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image
from recording.commands import CAPTIONS, COMMANDS
from recording.screenshots import SHOTS, take

from lab.store.folders import scratch_folder

DOCS = Path(__file__).parent
CHECKOUT = DOCS.parent
TUTORIAL = (CHECKOUT / "README.md", DOCS / "getting-started.md", DOCS / "tutorial.md")
CLASSROOM = (DOCS / "classroom" / "student.md", DOCS / "classroom" / "teacher.md")
"""Pages that are read one after the other: each needs the files of those before it."""
SAVED = re.compile(r"[Ss]ave this as `([\w.]+)`:\n\n```\w*\n(.*?)```", re.DOTALL)
SCRIPT = re.compile(r"```python\n(import pandas.*?)```", re.DOTALL)
MARKED = re.compile(
    r"<!-- (output|picture|screenshot) of ([^\n]+?) -->\n(?:(?:```|!\[).*?\n<!-- end -->\n)?", re.DOTALL
)
COLOURS = 64
"""A line drawing needs no more, and takes a third of the bytes."""


def main() -> None:
    chosen = {Path(argument).resolve() for argument in sys.argv[1:]}
    for pages in (TUTORIAL, CLASSROOM):
        if not chosen or chosen & set(pages):
            record(pages)


def record(pages: Iterable[Path]) -> None:
    """Run what *pages* show, one page after the other, and write their output and pictures into them."""
    with scratch_folder("record", print) as folder:
        work = Path(folder)
        for name in (".venv", "lab", "bpf", "experiments", "assignments"):
            (work / name).symlink_to(CHECKOUT / name)
        for page in pages:
            text = page.read_text(encoding="utf-8")
            for name, content in SAVED.findall(text):
                (work / name).write_text(content, encoding="utf-8")
            for content in SCRIPT.findall(text):
                (work / "metrics.py").write_text(content, encoding="utf-8")
            page.write_text(MARKED.sub(_made(work, page), text), encoding="utf-8")


def _made(work: Path, page: Path) -> Callable[[re.Match[str]], str]:
    """Return what replaces a marker and what stands below it, in the order of the page."""
    images = DOCS / "images" / ("classroom" if page in CLASSROOM else "tutorial")
    kinds: dict[str, Callable[[str], str | None]] = {
        "output": lambda key: _output(work, key),
        "picture": lambda key: _picture(work, page, images, key),
        "screenshot": lambda key: _screenshot(work, page, images, key),
    }

    def replace(marker: re.Match[str]) -> str:
        made = kinds[marker[1]](marker[2])
        return marker[0] if made is None else f"<!-- {marker[1]} of {marker[2]} -->\n{made}\n<!-- end -->\n"

    return replace


def _output(work: Path, key: str) -> str | None:
    if key not in COMMANDS:
        return None
    command, last = COMMANDS[key]
    print(f"$ {command}", flush=True)
    done = subprocess.run(
        ["bash", "-c", command], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    lines = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
    shown = lines if last is None or len(lines) <= last else ["…", *lines[-last:]]
    return "\n".join(["```", *shown, "```"])


def _picture(work: Path, page: Path, images: Path, key: str) -> str:
    experiment, figure = key.split(": ")
    source = work / "results" / experiment / "latest" / "report" / "figures" / f"{figure}.png"
    return _placed(Image.open(source), images / f"{experiment}-{figure}.png", page, CAPTIONS[figure])


def _screenshot(work: Path, page: Path, images: Path, key: str) -> str:
    shot = SHOTS[key]
    print(f"screenshot: {key}", flush=True)
    return _placed(take(shot, work), images / f"{shot.name}.png", page, shot.caption)


def _placed(picture: Image.Image, path: Path, page: Path, caption: str) -> str:
    """Write a picture with few colours, and return the Markdown that shows it on *page*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return f"![{caption}]({os.path.relpath(path, page.parent)})"


if __name__ == "__main__":
    main()
