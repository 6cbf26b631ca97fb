# SPDX-License-Identifier: Apache-2.0
"""Collectors: what is recorded of the kernel while traffic runs.

``registry`` says which there are and where they hook in; ``options`` what they can be told; ``recording`` moves their
events into a trial's record.  ``loader`` is what they need of BPF, ``bcc_loader`` gives it to them, with the kernel's
types from ``btf`` and ``kernel_macros``.
"""
