# SPDX-License-Identifier: Apache-2.0
"""Assignments: what students hand in is run in an assignment's scenarios, and a rubric gives points for the results."""
