# SPDX-License-Identifier: Apache-2.0
"""Colours, labels and scales that all figures have in common."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from lab.evaluation.axes import RunAxis, value_label
from lab.report.figures.look.labels import label_lines, spread, wrapped
from lab.report.figures.look.monochrome import make_monochrome
from lab.report.figures.look.scales import scale_y, spans_decades
from lab.report.figures.look.style import Look, looks, mixed, shades
from lab.report.model import _series
from tests.unit.report.artists import colour

KERNEL = (
    "reno", "cubic", "bbr", "bic", "cdg", "dctcp", "highspeed", "htcp", "hybla", "illinois", "lp", "nv", "scalable",
    "vegas", "veno", "westwood", "yeah",
)  # fmt: skip
MOST_COMPARED = ("cubic", "bbr", "reno", "vegas", "dctcp", "bbr3", "westwood")


def test_each_algorithm_of_the_kernel_has_a_colour_of_its_own() -> None:
    found = looks(KERNEL)
    assert len({look.colour.upper() for look in found.values()}) == len(KERNEL)
    # It is the same, whatever else is in the figure.
    assert all(looks([name])[name] == look for name, look in found.items())
    assert all(looks([name, "mine", "reno"])[name] == look for name, look in found.items())


def test_an_own_algorithm_has_the_same_colour_in_every_report() -> None:
    alone = looks(["mycc"])["mycc"]
    assert looks(["cubic", "mycc", "bbr"])["mycc"] == alone
    assert alone.colour not in {look.colour for look in looks(KERNEL).values()}
    several = looks([f"own{number}" for number in range(8)])
    assert len({look.colour for look in several.values()}) == 8


def seen(name: str, matrix: Any) -> np.ndarray[Any, Any]:
    """The colour of an algorithm in linear RGB, for a reader with a kind of colour vision."""
    text = looks([name])[name].colour
    stored = np.array([int(text[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    shown = np.clip(np.asarray(matrix) @ linear, 0, 1)
    return np.asarray(np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055))


# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency (2009).
PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


@pytest.mark.parametrize("matrix", [np.eye(3), PROTAN, DEUTAN], ids=["all", "protan", "deutan"])
def test_the_most_compared_algorithms_are_told_apart_with_any_colour_vision(matrix: Any) -> None:
    for one, other in itertools.combinations(MOST_COMPARED, 2):
        assert np.abs(seen(one, matrix) - seen(other, matrix)).max() > 0.1, (one, other)


def test_series_of_one_algorithm_keep_its_colour() -> None:
    # A second group of CUBIC flows must not have the orange of BBR.
    keys = [("long", "cubic", ""), ("pages", "cubic", ""), ("long", "bbr", "")]
    found = {one.label: one.look for one in _series(keys, None, None)}
    assert found["long (cubic)"].colour == found["pages (cubic)"].colour == looks(["cubic"])["cubic"].colour
    assert found["long (bbr)"].colour == looks(["bbr"])["bbr"].colour
    assert found["long (cubic)"].dashes != found["pages (cubic)"].dashes
    only = _series(keys[:2], None, None)
    assert only[0].look.colour == looks(["cubic"])["cubic"].colour
    assert len({one.look.colour for one in only}) == 2
    assert only[1].look.colour == mixed(only[0].look.colour, 0.45)


def test_shades_go_from_dark_to_light() -> None:
    found = shades("#0072B2", 4)
    levels = [sum(int(one[start : start + 2], 16) for start in (1, 3, 5)) for one in found]
    assert levels == sorted(levels)
    assert len(set(levels)) == 4
    assert shades("#0072B2", 1) == ["#0072B2"]


def test_losses_in_bursts_have_a_label_that_says_so() -> None:
    axis = RunAxis("a.loss", "loss", ("1%", {"model": "gemodel", "p": "0.05%", "r": "5%"}))
    assert [value_label(axis, value) for value in axis.values] == ["1%", "0.99% in bursts of 20"]
    partly = {"model": "gemodel", "p": "1%", "r": "10%", "bad_loss": "50%", "good_loss": "1%"}
    assert value_label(axis, partly) == "5.5% in bursts of 5"
    assert value_label(axis, {"discipline": "fq_codel", "limit": "1bdp"}) == "fq_codel 1bdp"


def test_a_long_title_is_broken_before_it_reaches_the_next_panel() -> None:
    title = "bulk (cubic), loss 0.99% in bursts of 20, limit 16bdp, rtt 40 ms"
    assert all(len(line) <= 35 for line in wrapped(title, 2.33).splitlines())
    assert wrapped(title, 2.33).replace("\n", " ") == title


@pytest.mark.parametrize("places", [[0.5, 0.5, 0.5], [0.0, 0.0, 1.0], [1.0] * 5, [0.2, 0.21, 0.8, 0.81], [0.5] * 40])
def test_labels_beside_lines_do_not_overlap_and_stay_inside(places: list[float]) -> None:
    found = spread(np.array(places), 0.05)
    least = min(0.05, 1 / (len(places) - 1))
    assert np.diff(found).min() >= least - 1e-9
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-9


def test_a_label_is_beside_the_end_of_its_line() -> None:
    axes = Figure().subplots()
    axes.set_ylim(0, 10)
    label_lines(axes, [(2.0, "low", "#000000"), (8.0, "high", "#ff0000")])
    assert {text.get_text(): text.xy for text in axes.texts} == {"low": (1.0, 0.2), "high": (1.0, 0.8)}  # type: ignore[attr-defined]
    axes.set_yscale("log")
    axes.set_ylim(1, 100)
    label_lines(axes, [(10.0, "middle", "#000000")])
    assert axes.texts[-1].xy == (1.0, pytest.approx(0.5))  # type: ignore[attr-defined]


def test_only_what_spans_decades_is_logarithmic() -> None:
    assert spans_decades([0.5, 40])
    assert not spans_decades([20, 40])
    assert not spans_decades([])
    axes = Figure().subplots()
    scale_y(axes, [3.0, 19.1], logarithmic=False)
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 19.1
    scale_y(axes, [0.5, 400.0], logarithmic=True)
    assert axes.get_yscale() == "log"


def test_without_colours_each_series_has_a_grey_and_dashes() -> None:
    figure = Figure()
    axes = figure.subplots()
    series = [Look("#0072B2", "solid", "o"), Look("#D55E00", "solid", "s")]
    lines = [axes.plot([0, 1], [0, 1], color=look.colour)[0] for look in series]
    patch = axes.axvspan(0, 1, color="#f4e3d7")
    make_monochrome(figure, series)
    greys = [colour(line) for line in lines]
    assert len(set(greys)) == 2
    for one in [*greys, colour(patch)]:
        assert one[1:3] == one[3:5] == one[5:7]
    assert len({str(line.get_linestyle()) for line in lines}) == 2
    assert math.isclose(int(greys[0][1:3], 16), 0, abs_tol=1)
