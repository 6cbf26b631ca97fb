# SPDX-License-Identifier: Apache-2.0
"""How figures look: colours, line styles, sizes, and how they are saved."""
