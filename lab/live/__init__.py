# SPDX-License-Identifier: Apache-2.0
"""Run collectors live on a host: the implementation of ``lab trace``.

It runs as root, under a Python interpreter that can import bcc.
"""
