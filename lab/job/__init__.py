# SPDX-License-Identifier: Apache-2.0
"""What the host and the place where a trial runs share: the job, the record, and the words in them.

This package is shipped into the guest as a whole: standard library only, no other import from ``lab``.
"""
