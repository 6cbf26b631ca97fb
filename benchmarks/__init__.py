# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of the real thing: ``make bench``."""
