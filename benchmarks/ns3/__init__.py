# SPDX-License-Identifier: Apache-2.0
"""Compare the speed of ns-3 with that of lab's two engines with virtual time, ``uml`` and ``vm``.

All of them carry the same traffic, one at a time and in turn, in the same minutes and on the same processor.  README.md
in this folder describes how ns-3 is set up, why the comparison is fair, and how the figures are measured.
"""
