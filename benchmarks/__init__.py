# SPDX-License-Identifier: Apache-2.0
"""Measure the speed and memory use of real trials; ``make bench`` runs the benchmarks."""
