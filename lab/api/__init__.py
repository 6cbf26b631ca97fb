# SPDX-License-Identifier: Apache-2.0
"""The interface for Python: results as data frames and figures, and experiments that run from a program or a notebook.

The package :mod:`lab` re-exports what is public.
"""
