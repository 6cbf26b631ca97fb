# SPDX-License-Identifier: Apache-2.0
"""The plugin of pytest: ``pytest experiments/`` runs each experiment that expects something."""
