# SPDX-License-Identifier: Apache-2.0
"""Checks that compare what a trial was asked to do with what it did."""
