# SPDX-License-Identifier: Apache-2.0
"""One scenario of a submission, which runs in a process of its own, and the points for its criteria."""
