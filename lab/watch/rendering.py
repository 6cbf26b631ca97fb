# SPDX-License-Identifier: Apache-2.0
"""The page of ``lab watch``, with its style sheets, scripts and the library for charts inside of it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.engine.steering import PACES
from lab.job.protocol import Job
from lab.report.page.render import LIBRARY, LIBRARY_LICENCE, LIBRARY_STYLE, THEME, asset
from lab.watch.links import WatchedLinks
from lab.watch.samples import Samples

_COLOURS = 8
"""The number of colours for curves in ``watch.css``."""
_STYLES = ("page.css", "charts.css")
_QUANTITIES = {
    "rate": "Rate",
    "delay": "One-way delay",
    "loss": "Random loss",
    "queue": "Queue limit",
}


class WatchPage:
    """Everything on the page that does not change while a trial runs."""

    def __init__(self, name: str, engine: str, links: WatchedLinks) -> None:
        """``name`` is that of the trial, as people read it; ``engine`` that of the engine."""
        samples = Samples(links.job, links.limit_packets)
        self._content = {
            "name": name,
            "engine": engine,
            "duration_s": links.job["duration_ns"] / 1e9,
            "style": "\n".join([asset(LIBRARY_STYLE), *map(asset, _STYLES), _own("watch.css")]),
            "theme_script": "\n".join(map(asset, THEME)),
            "library": asset(LIBRARY),
            "library_licence": asset(LIBRARY_LICENCE),
            "script": "\n".join(_own(script) for script in ("curves.js", "watch.js")),
            "flows": _flows(links.job, samples),
            "more_flows": len(links.job["flows"]) - len(samples.shown),
            "sides": _sides(links),
            "paces": PACES,
        }
        self._data = {
            "duration_ms": links.job["duration_ns"] // 10**6,
            "flows": self._content["flows"],
            "windows": [samples.shown.index(number) for number in samples.windows],
            "numbers": samples.shown,
            "queues": [f"{link} {'→' if way == 'ab' else '←'}" for link, way in samples.queues],
            "sides": self._content["sides"],
        }

    def html(self, nonce: str) -> str:
        """Return the page; its scripts and style sheets have this nonce."""
        environment = Environment(
            loader=PackageLoader("lab.watch", "assets"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        data = json.dumps(self._data).replace("<", "\\u003c")
        return environment.get_template("watch.html.j2").render(**self._content, data=data, nonce=nonce)


def _own(name: str) -> str:
    return resources.files("lab.watch").joinpath("assets", name).read_text(encoding="utf-8")


def _flows(job: Job, samples: Samples) -> list[dict[str, Any]]:
    found = []
    for place, number in enumerate(samples.shown):
        flow = job["flows"][number]
        label = flow["congestion_control"] if flow["protocol"] == "tcp" else "UDP"
        found.append({"name": flow["name"], "control": label, "colour": f"--curve-{place % _COLOURS}"})
    return found


def _sides(links: WatchedLinks) -> list[dict[str, Any]]:
    return [
        {
            "name": side.name,
            "sliders": [
                {
                    "quantity": slider.quantity,
                    "title": _QUANTITIES[slider.quantity],
                    "options": [option.label for option in slider.options],
                }
                for slider in side.sliders
            ],
        }
        for side in links.sides
    ]
