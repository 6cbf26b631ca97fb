# SPDX-License-Identifier: Apache-2.0
"""Build the topology of a trial with Mininet and ``tc`` (nodes, links, shaping), and calibrate it before traffic."""
