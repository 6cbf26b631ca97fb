# SPDX-License-Identifier: Apache-2.0
"""Artifacts: archives with everything that others need to check and reproduce the results of runs."""
