# SPDX-License-Identifier: Apache-2.0
"""``python3 -m lab.agent.guest``: the first process of a virtual machine."""

from __future__ import annotations

from lab.agent.guest import vm

if __name__ == "__main__":
    vm.main()
