# SPDX-License-Identifier: Apache-2.0
"""Figures that compare cells and series."""
