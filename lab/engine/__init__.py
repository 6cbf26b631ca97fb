# SPDX-License-Identifier: Apache-2.0
"""Engines, each of which runs a job and returns the raw record of the trial."""
