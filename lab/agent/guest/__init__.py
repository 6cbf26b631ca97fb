# SPDX-License-Identifier: Apache-2.0
"""Run the agent as the first process (init) of a guest: a virtual machine, or an instance of User-mode Linux."""
