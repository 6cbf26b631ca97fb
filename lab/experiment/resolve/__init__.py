# SPDX-License-Identifier: Apache-2.0
"""What follows from a checked experiment: nodes, links, sizes, and the job of each trial."""
