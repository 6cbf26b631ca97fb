# SPDX-License-Identifier: Apache-2.0
"""The command line: reads arguments, prints, and picks the exit code.  The work is done elsewhere."""

from lab.cli.app import app, main

__all__ = ["app", "main"]
