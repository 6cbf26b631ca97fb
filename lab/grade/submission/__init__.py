# SPDX-License-Identifier: Apache-2.0
"""What a student hands in, which may be hostile: how it is read, laid out, compiled, and compared with the others."""
