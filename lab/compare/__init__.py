# SPDX-License-Identifier: Apache-2.0
"""Compare runs: every metric of every cell, and what differs between the machines and experiments.

``cells`` reads the metrics of a run, ``differences`` compares two runs cell by cell, ``inputs`` says what else differs
between them, and ``render`` writes the outcome as text, Markdown, JSON or HTML.
"""
