# SPDX-License-Identifier: Apache-2.0
"""The commands for finished runs: reports, figures, comparisons, and runs that are repeated."""
