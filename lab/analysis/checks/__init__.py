# SPDX-License-Identifier: Apache-2.0
"""Checks of a trial: was what was asked for what was so?"""
