# SPDX-License-Identifier: Apache-2.0
"""Check the expectations of an experiment against what a run has measured."""
