# SPDX-License-Identifier: Apache-2.0
"""``lab watch``: a page in the browser that shows a trial while it runs, and changes its links."""
