# SPDX-License-Identifier: Apache-2.0
"""The guest image, built from Debian's packages."""
