# SPDX-License-Identifier: Apache-2.0
"""Find the first of several kernels with which an experiment's results are bad."""
