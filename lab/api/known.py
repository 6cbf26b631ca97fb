# SPDX-License-Identifier: Apache-2.0
"""Look up which algorithms and parameters the images in the cache have."""

from __future__ import annotations

from functools import cache
from importlib import resources

from lab.engine.image.build import find_image
from lab.engine.image.known import of_configuration, read_known
from lab.errors import LabError
from lab.experiment.check.known import Known, Lookup
from lab.job import kernels


def image_lookup(missing: list[str]) -> Lookup:
    """Return a function that says what an engine's kernel and ``tc`` have.

    It adds the kernels of images that are not built, or that do not say, to *missing*.  Nothing is known of this host
    with the native engine, which finds out itself before it runs trials.
    """

    @cache
    def lookup(engine: str, kernel: str) -> Known | None:
        if engine == "native":
            return None
        # Trials in User-mode Linux use the image with the default kernel.
        image_kernel = kernels.DEFAULT if kernel in kernels.UML else kernel
        try:
            image = find_image(image_kernel)
        except LabError:
            image = None
        found = None if image is None else read_known(image.path)
        if found is None:
            missing.append(image_kernel)
            return None
        algorithms, parameters = found
        if kernel in kernels.UML:
            configuration = resources.files("lab.engine.uml") / "kernel" / "config"
            algorithms = of_configuration(configuration.read_text(encoding="utf-8"))
        return Known(algorithms, parameters)

    return lookup
