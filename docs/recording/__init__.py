# SPDX-License-Identifier: Apache-2.0
"""What ``python docs/record.py`` runs and takes pictures of."""
