# SPDX-License-Identifier: Apache-2.0
"""The VM engine, which runs trials in QEMU virtual machines in deterministic virtual time."""
