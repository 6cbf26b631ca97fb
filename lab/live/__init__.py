# SPDX-License-Identifier: Apache-2.0
"""The collectors live on a host: ``lab trace``.  Runs under the interpreter that has bcc, as root."""
