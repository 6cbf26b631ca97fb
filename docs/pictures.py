# SPDX-License-Identifier: Apache-2.0
"""Take the README's pictures from a run of experiments/cubic_vs_bbr.yaml: ``python docs/pictures.py RUN_DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).with_name("images")
FIGURES = ("goodput-vs-loss", "cwnd")
COLOURS = 64
"""Line drawings need no more, and take a third of the bytes."""


def main() -> None:
    figures = Path(sys.argv[1]) / "report" / "figures"
    for name in FIGURES:
        picture = Image.open(figures / f"{name}.png").convert("RGB")
        few_colours = picture.quantize(COLOURS, dither=Image.Dither.NONE)
        few_colours.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
