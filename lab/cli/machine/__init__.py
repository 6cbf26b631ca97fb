# SPDX-License-Identifier: Apache-2.0
"""The commands for this machine: what is installed, the bundles in the cache, and live tracing."""
