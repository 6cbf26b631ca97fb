# SPDX-License-Identifier: Apache-2.0
"""Derive nodes, links, queue sizes and the job of each trial from a checked experiment."""
