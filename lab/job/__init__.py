# SPDX-License-Identifier: Apache-2.0
"""The data that the host and the machine that runs a trial exchange: the job, the record, and the names used in them.

The whole package is copied into the guest.  It therefore uses only the standard library and imports nothing else from
``lab``.
"""
