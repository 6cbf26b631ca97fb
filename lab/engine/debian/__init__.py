# SPDX-License-Identifier: Apache-2.0
"""Run mmdebstrap, which makes Debian root file systems: the guest's own, and one in which a kernel is compiled."""
