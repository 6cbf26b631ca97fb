# SPDX-License-Identifier: Apache-2.0
"""Single figures as files: the same bytes, embedded fonts, and the width of a column."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lab.errors import InputError
from lab.report.figures.draw import figure
from lab.report.figures.file import STYLES, figure_of, write_figure
from lab.report.figures.look.settings import styled
from lab.report.figures.look.sizes import WIDTHS
from lab.report.model import Report

Reports = Callable[[str], Report]
LOSS = figure_of({"kind": "against", "x": "loss"})


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_the_same_results_give_the_same_bytes(suffix: str, style: str, reports: Reports, tmp_path: Path) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for path in (first, second):
        assert write_figure(reports("loss"), LOSS, path, style=style) == [path]
    assert first.read_bytes() == second.read_bytes()
    text = first.read_bytes()
    for word in (b"CreationDate", b"<dc:date>", b"matplotlib.org", b"/Producer"):
        assert word not in text


def test_fonts_are_embedded_as_truetype(reports: Reports, tmp_path: Path) -> None:
    (path,) = write_figure(reports("loss"), LOSS, tmp_path / "a.pdf", style="paper", width="acm")
    text = path.read_bytes()
    # Type 3 fonts, which publishers refuse, would be called so; a font of type 42 is a stream of its own.
    assert b"/Subtype /Type3" not in text
    assert b"/FontFile2" in text or any(b"/FontFile2" in part for part in _streams(text))


def _streams(text: bytes) -> list[bytes]:
    found = []
    for body in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", text, re.DOTALL):
        try:
            found.append(zlib.decompress(body))
        except zlib.error:
            continue
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_no_figure_is_wider_than_its_column(width: str, reports: Reports, tmp_path: Path) -> None:
    asked = ({"kind": "against", "x": "loss"}, {"kind": "cells"}, {"kind": "time", "y": "srtt"})
    found = []
    for number, fields in enumerate(asked):
        path = tmp_path / f"{number}.pdf"
        write_figure(reports("loss"), figure_of(fields), path, width=width)
        box = re.search(rb"/MediaBox \[ ?0 0 ([0-9.]+) ", path.read_bytes())
        assert box is not None
        found.append(float(box[1]))
    assert max(found) == pytest.approx(WIDTHS[width].page * 72, abs=0.5)


def test_without_colours_there_are_only_greys(reports: Reports, tmp_path: Path) -> None:
    for number, fields in enumerate(({"kind": "against", "x": "loss"}, {"kind": "heatmap", "x": "cc", "y": "loss"})):
        (path,) = write_figure(reports("loss"), figure_of(fields), tmp_path / f"{number}.png", style="mono")
        pixels = Image.open(path).convert("RGB").getcolors(2**24)
        assert pixels is not None
        assert all(max(colour) - min(colour) <= 2 for _count, colour in pixels if isinstance(colour, tuple))
        assert len(pixels) > 10


def test_a_figure_with_more_panels_has_several_files(reports: Reports, tmp_path: Path) -> None:
    paths = write_figure(reports("everything"), figure_of({"kind": "time"}), tmp_path / "sub" / "a.svg")
    assert paths[0] == tmp_path / "sub" / "a.svg"
    assert [path.name for path in paths[1:]] == [f"a-{number}.svg" for number in range(2, len(paths) + 1)]
    assert all(path.stat().st_size for path in paths)


def test_figures_of_the_report_by_their_names(reports: Reports, tmp_path: Path) -> None:
    (path,) = write_figure(reports("loss"), "cwnd", tmp_path / "a.png")
    assert path.stat().st_size
    with pytest.raises(InputError, match=r"found 'cwn'; expected a figure of the report .*did you mean 'cwnd'"):
        write_figure(reports("loss"), "cwn", tmp_path / "a.png")
    found = figure(reports("loss"), "srtt")
    with styled():
        found.axes[0].set_title("restyled")
        found.savefig(tmp_path / "own.png")
    with pytest.raises(KeyError, match="cwnd"):
        figure(reports("loss"), "nothing")


@pytest.mark.parametrize(
    ("name", "style", "width", "message"),
    [
        ("a.gif", "screen", None, r"--output: found 'a.gif'; expected a name that ends in .svg, .pdf or .png"),
        ("a", "screen", None, "--output: found 'a'"),
        ("a.pdf", "pape", None, "--style: found 'pape'; expected screen, paper or mono; did you mean 'paper'"),
        ("a.pdf", "paper", "a4", "--width: found 'a4'; expected acm, acm-double, ieee, ieee-double or slide"),
    ],
)
def test_bad_targets(name: str, style: str, width: str | None, message: str, reports: Reports) -> None:
    with pytest.raises(InputError, match=message):
        write_figure(reports("loss"), LOSS, Path(name), style=style, width=width)


def test_nothing_to_draw_says_what_would_be_needed(reports: Reports, tmp_path: Path) -> None:
    for fields, wanted in (
        ({"kind": "cdf", "y": "latency"}, "needs probes"),
        ({"kind": "jain"}, "flows that run together"),
    ):
        with pytest.raises(InputError, match=wanted):
            write_figure(reports("loss"), figure_of(fields), tmp_path / "a.pdf")
    with pytest.raises(InputError, match="tcp_probe"):
        write_figure(reports("udp"), figure_of({"kind": "time"}), tmp_path / "a.pdf")
