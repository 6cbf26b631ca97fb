# SPDX-License-Identifier: Apache-2.0
"""The UML engine, which runs trials in User-mode Linux: the kernel as a program, in deterministic virtual time."""
