# SPDX-License-Identifier: Apache-2.0
"""The agent: runs one trial on the kernel that it lives on, in the guest or on the host."""
