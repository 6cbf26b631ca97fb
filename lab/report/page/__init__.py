# SPDX-License-Identifier: Apache-2.0
"""What the page of a run says: the content of its templates, one module for each part of the page."""
