# SPDX-License-Identifier: Apache-2.0
"""Congestion controls of the job: loaded, registered, and removed again; and the rows that they record."""
