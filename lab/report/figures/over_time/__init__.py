# SPDX-License-Identifier: Apache-2.0
"""Figures with a time axis."""
