# SPDX-License-Identifier: Apache-2.0
"""Stands for the package ``lab`` in programs that run with another Python interpreter.

These programs have the folder above this one in ``PYTHONPATH``, and not the folder in which ``lab`` is installed: that
folder also has libraries that were installed for this interpreter, which the other one would import in place of its
own.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[4])]
