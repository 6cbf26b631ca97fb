# SPDX-License-Identifier: Apache-2.0
"""Check an experiment against the rules between its fields, and expand its matrix."""
