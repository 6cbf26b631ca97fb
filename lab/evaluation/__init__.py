# SPDX-License-Identifier: Apache-2.0
"""Stored trials, evaluated: metrics, verdicts and curves.  Reads the store; draws and prints nothing."""
