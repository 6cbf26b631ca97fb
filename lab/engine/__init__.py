# SPDX-License-Identifier: Apache-2.0
"""Engines: each takes a job and returns the raw record of its trial."""
