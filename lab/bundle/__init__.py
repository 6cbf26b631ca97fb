# SPDX-License-Identifier: Apache-2.0
"""Build bundles, choose which ones are used, and carry them to other machines."""
