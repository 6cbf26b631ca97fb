# SPDX-License-Identifier: Apache-2.0
"""The answer of a run: what its numbers say, in sentences that claim no more than the numbers carry.

``observations`` arranges the numbers by what the experiment varies, ``effects`` compares them, ``findings`` chooses
what is worth saying, and ``wording`` says it.  ``explanations`` says what the kernel did, and ``answer`` puts all parts
together.
"""
