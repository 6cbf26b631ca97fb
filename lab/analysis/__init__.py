# SPDX-License-Identifier: Apache-2.0
"""Measures from records and traces.  Pure functions: no files, no plots."""
