# SPDX-License-Identifier: Apache-2.0
"""Run the trials of a plan in parallel and with a cache, and run them again to verify their results.

Called as a function, ``lab.run("my_first.yaml")`` runs an experiment: it is :func:`lab.api.running.run`.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """This package, which can be called.

    Importing a submodule makes Python set the attribute ``run`` of ``lab`` to this package, in place of a function of
    that name.  Python's reference manual has this way to change a module's class ("Customizing module attribute
    access").
    """

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run an experiment and return the loaded run; the arguments are those of :func:`lab.api.running.run`."""
        return import_module("lab.api.running").run(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        # What notebooks and editors show of the arguments.
        return inspect.signature(import_module("lab.api.running").run)


sys.modules[__name__].__class__ = _CallablePackage
