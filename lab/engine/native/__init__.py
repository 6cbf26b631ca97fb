# SPDX-License-Identifier: Apache-2.0
"""The native engine, which runs trials on this host's own kernel in real time."""
