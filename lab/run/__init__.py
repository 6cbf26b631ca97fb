# SPDX-License-Identifier: Apache-2.0
"""Run the trials of a plan in parallel and with a cache, and run them again to verify their results."""
