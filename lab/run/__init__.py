# SPDX-License-Identifier: Apache-2.0
"""Running the trials of a plan: in parallel, with a cache, and again to verify them."""
