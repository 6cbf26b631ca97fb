# SPDX-License-Identifier: Apache-2.0
"""The command line: it parses arguments, prints results and chooses the exit code; other packages do the work."""

from lab.cli.app import app, main

__all__ = ["app", "main"]
