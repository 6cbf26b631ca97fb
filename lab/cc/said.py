# SPDX-License-Identifier: Apache-2.0
"""Find the lines of a source that messages of clang, libbpf and the kernel's verifier are about.

clang names lines.  The verifier writes the text of a line in front of the instructions that were made of it, and since
Linux 6.10 the file and the number of the line, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["HEADER", "Place", "Said"]

HEADER = "lab_cc.h"
"""The name of the header of all algorithms."""

_PARTS = re.compile(r"(?:.*/)?lab_cc(?:_\w+)?\.h")
"""The header and its parts, whose lines are never the reason."""

_MOST_LINES = 5
"""How many lines are named if a text of the source is found in several of them."""


@dataclass(frozen=True)
class Place:
    """A place in the source."""

    file: str
    """Path relative to the folder of the source."""
    lines: tuple[int, ...]
    """The line; several if the kernel said only its text, and the source has the same text in several lines."""
    text: str
    """The line's text."""

    def __str__(self) -> str:
        return f"{self.file}:{' or '.join(map(str, self.lines))}"


class Said:
    """What was said, with the places in the source that it names."""

    _MARK = re.compile(r"; (?P<text>.*?)(?: @ (?P<file>[^\s:]+):(?P<line>\d+))?")
    _REASON = re.compile(r"^Reason:\n((?:[ \t]+\S.*\n)+)", re.MULTILINE)
    _AT = re.compile(r"^At:\n\s+\w+ @ (?P<file>[^\s:]+):(?P<line>\d+)", re.MULTILINE)
    _INSTRUCTION = re.compile(r"(\d+): \([0-9a-f]{2}\) ")
    _COMPILER = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+: (?:fatal )?(?:error|note: used here)", re.MULTILINE)
    _COMPILER_CRASH = re.compile(r"^Error at line (?P<line>\d+):", re.MULTILINE)

    def __init__(self, said: str, sources: Mapping[str, str]) -> None:
        self.said = said
        self.sources = {path: text.splitlines() for path, text in sources.items()}

    def place(self) -> Place | None:
        """Return the place of the last instruction that the verifier has looked at, in the source or its headers."""
        found = self._last_mark(self.said.splitlines())
        if found is None and (at := self._AT.search(self.said)) is not None and not _PARTS.fullmatch(at["file"]):
            return self._named(at["file"], int(at["line"]))
        return found

    def place_of_instruction(self, number: int) -> Place | None:
        """Return the place of the instruction with this number."""
        lines = self.said.splitlines()
        for index, line in enumerate(lines):
            found = self._INSTRUCTION.match(line)
            if found is not None and int(found[1]) == number:
                return self._last_mark(lines[:index])
        return None

    def place_of_word(self, word: str) -> Place | None:
        """Return the first place at which the source has this identifier."""
        return next(self._lines_with(rf"\b{re.escape(word)}\b"), None)

    def place_of_recursion(self) -> Place | None:
        """Return the first place at which a function calls itself."""
        function = ""
        for place in self._lines_with(r"\w\s*\("):
            defined = re.search(r"^[A-Za-z_][\w\s*]*?\b(\w+)\s*\([^;]*$", self.sources[place.file][place.lines[0] - 1])
            if defined is not None:
                function = defined[1]
            elif function and re.search(rf"\b{function}\s*\(", place.text):
                return place
        return None

    def place_for_compiler(self) -> Place | None:
        """Return the place of clang's first error, unless it is the end of an algorithm for want of a better one."""
        for found in self._COMPILER.finditer(self.said):
            path = found["file"].removeprefix("./")
            if not _PARTS.fullmatch(path):
                return self._named(path, int(found["line"]))
        crash = self._COMPILER_CRASH.search(self.said)
        if crash is None or not self.sources:
            return None
        return self._named(next(iter(self.sources)), int(crash["line"]))

    def loops(self) -> list[Place]:
        """Return the places at which loops begin."""
        return list(self._lines_with(r"\b(for|while|bpf_loop)\s*\("))

    def last_words(self) -> str | None:
        """Return the reason that the verifier gives, which it does since Linux 7.3, or else the last thing that it says
        before its statistics; None if it says nothing."""
        given = self._REASON.search(self.said)
        if given is not None:
            return " ".join(given[1].split()).rstrip(".")
        for line in reversed(self.said.splitlines()):
            words = line.strip()
            is_noise = words.startswith(("libbpf: ", "processed ", "verification time", "stack depth", "; ", "mark_"))
            if words and not is_noise and not self._INSTRUCTION.match(words) and "processed" in self.said:
                return words.rstrip(".")
        return None

    def _lines_with(self, pattern: str) -> Iterator[Place]:
        """Yield the places of the lines in which the pattern is found outside of comments."""
        for path, lines in self.sources.items():
            for number, line in enumerate(_without_comments(lines), 1):
                if re.search(pattern, line):
                    yield Place(path, (number,), lines[number - 1].strip())

    def _last_mark(self, lines: Sequence[str]) -> Place | None:
        for line in reversed(lines):
            found = self._MARK.fullmatch(line.rstrip())
            if found is None or not found["text"].strip() or "LAB_CC(" in found["text"]:
                continue
            place = self._place_of_mark(found)
            if place is not None:
                return place
        return None

    def _place_of_mark(self, mark: re.Match[str]) -> Place | None:
        text = mark["text"].strip()
        if mark["line"] is not None:
            path = mark["file"].removeprefix("./")
            is_own = not _PARTS.fullmatch(path) and int(mark["line"]) > 0
            return Place(path, (int(mark["line"]),), text) if is_own else None
        for path, lines in self.sources.items():
            numbers = [number for number, line in enumerate(lines, 1) if line.strip() == text]
            if numbers:
                return Place(path, tuple(numbers[:_MOST_LINES]), text)
        return None

    def _named(self, path: str, line: int) -> Place | None:
        # clang's messages have the path that the user has given, of which the source has the last parts only.
        for own, lines in self.sources.items():
            if (path == own or path.endswith("/" + own)) and 0 < line <= len(lines):
                return Place(own, (line,), lines[line - 1].strip())
        return None


def _without_comments(lines: Sequence[str]) -> list[str]:
    """Return the lines with spaces in place of comments; texts in quotes are not looked for."""
    blank = re.sub(
        r"/\*.*?\*/|//[^\n]*",
        lambda found: re.sub(r"[^\n]", " ", found[0]),
        "\n".join(lines),
        flags=re.DOTALL,
    )
    return blank.split("\n")
