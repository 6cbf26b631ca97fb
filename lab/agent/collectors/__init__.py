# SPDX-License-Identifier: Apache-2.0
"""Collectors: BPF programs that record what the kernel does while traffic runs, and the code that drives them.

- ``registry`` lists all collectors and the kernel functions and tracepoints that they are attached to.
- ``options`` translates a collector's options into the contents of its BPF maps.
- ``recording`` and ``ringbuffer`` move events from the kernel into a trial's record; ``trial_recorders`` does so for
  all collectors of a trial.
- ``names`` maps the numbers in events to names.
- ``loader`` defines the interface through which collectors use BPF; ``bcc_loader`` implements it, with the kernel's
  type information from ``btf`` and ``kernel_macros``.
- ``support`` finds out which collectors work on the running kernel.
"""
