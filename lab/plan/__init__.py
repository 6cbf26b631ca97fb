# SPDX-License-Identifier: Apache-2.0
"""The plan of an experiment: all trials of its matrix and repetitions, and what ``lab check`` shows about them."""
