# SPDX-License-Identifier: Apache-2.0
"""The file of an assignment: its fields, how it is read, and what is checked before anything runs."""
