# SPDX-License-Identifier: Apache-2.0
"""Evaluate stored trials: metrics, verdicts and curves.  This package reads the store; it draws and prints nothing."""
