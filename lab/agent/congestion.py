# SPDX-License-Identifier: Apache-2.0
"""Load the kernel's congestion control algorithms and set the parameters of their modules."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lab.agent.process import run

WITH_KFUNCS = ("bbr", "cubic", "dctcp")
"""The algorithms whose functions BPF programs can call, once their modules are loaded."""


class CongestionError(Exception):
    """The kernel lacks a congestion control algorithm or module parameter, or rejects the parameter's value."""


def load_congestion_control(names: set[str]) -> list[str]:
    """Load the algorithms *names* that are not available yet, and return all that the kernel then offers.

    Raises:
        CongestionError: The kernel has no algorithm of one of these names.
    """
    load_if_available(names)
    offered = available()
    missing = sorted(names - set(offered))
    if missing:
        raise CongestionError(
            f"the kernel has no congestion control {', '.join(missing)}; it offers {', '.join(offered)}"
        )
    return offered


def load_if_available(names: Iterable[str]) -> None:
    """Load those of the algorithms *names* that the kernel has as modules."""
    for name in sorted(set(names) - set(available())):
        try:
            run(["modprobe", f"tcp_{name}"])
        except Exception:
            continue  # Who needs the algorithm reports that it is missing.


def set_module_parameters(parameters: dict[str, dict[str, str]]) -> None:
    """Set module parameters, given as algorithm → parameter → value.

    Raises:
        CongestionError: A module has no such parameter, or the kernel rejects the value.
    """
    for algorithm, values in sorted(parameters.items()):
        folder = Path(f"/sys/module/tcp_{algorithm}/parameters")
        for name, value in values.items():
            if not (folder / name).exists():
                known = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
                raise CongestionError(
                    f"the module tcp_{algorithm} has no parameter {name}; "
                    f"its parameters are: {', '.join(known) or 'none'}"
                )
            try:
                (folder / name).write_text(value)
            except OSError as exc:
                raise CongestionError(
                    f"the module tcp_{algorithm} does not accept {name}={value}: {exc.strerror}"
                ) from exc


def available() -> list[str]:
    """Return the algorithms that the kernel has at this moment."""
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as file:
        return sorted(file.read().split())
