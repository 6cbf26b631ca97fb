# SPDX-License-Identifier: Apache-2.0
"""The agent: runs one trial on the local kernel, inside the virtual machine or directly on the host."""
