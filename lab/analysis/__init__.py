# SPDX-License-Identifier: Apache-2.0
"""Compute metrics and checks from records and the rows of collectors.

The functions are pure: they read no files and draw nothing.
"""
