# SPDX-License-Identifier: Apache-2.0
"""Nodes, links and their shaping, built with Mininet and ``tc``; and what is measured on them before traffic."""
