# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an experiment, and the matrix that multiplies it."""
