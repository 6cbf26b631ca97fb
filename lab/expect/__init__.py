# SPDX-License-Identifier: Apache-2.0
"""The language of expectations, such as ``goodput(cc=bbr, loss=1%) >= 0.8 * link.rate``: its grammar and its names.

:mod:`lab.expect.parser` makes a tree of a text, :mod:`lab.expect.names` says what the names mean, and
:mod:`lab.expect.meaning` checks a tree: names, units, and what terms select of an experiment.  Nothing here does I/O;
:mod:`lab.evaluation.expectations` looks at what a run has measured.
"""
