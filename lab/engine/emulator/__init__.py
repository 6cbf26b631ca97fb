# SPDX-License-Identifier: Apache-2.0
"""The programs outside the guest on which its results depend: QEMU, with all that it loads, and ``mkfs.erofs``."""
