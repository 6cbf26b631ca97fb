# SPDX-License-Identifier: Apache-2.0
"""Build the guest image from Debian packages."""
