# SPDX-License-Identifier: Apache-2.0
"""The commands that run an experiment, and those that check one or make a new one."""
