# SPDX-License-Identifier: Apache-2.0
"""What modules for the kernels of virtual machines are compiled with: Debian's headers and the compiler beside them."""
