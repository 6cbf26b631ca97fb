# SPDX-License-Identifier: Apache-2.0
"""Read experiment files from disk."""
