# SPDX-License-Identifier: Apache-2.0
"""Congestion control algorithms of the kernel: loading them, and their modules' parameters."""

from __future__ import annotations

from pathlib import Path

from lab.agent.process import run


class CongestionError(Exception):
    """The kernel does not have what was asked for."""


def load_congestion_control(names: set[str]) -> list[str]:
    """Load what is missing; returns what the kernel then offers.  Raises :class:`CongestionError` for unknown names."""
    for name in sorted(names - set(_available())):
        try:
            run(["modprobe", f"tcp_{name}"])
        except Exception:
            continue  # judged below, by what the kernel then offers
    offered = _available()
    missing = sorted(names - set(offered))
    if missing:
        raise CongestionError(
            f"the kernel has no congestion control {', '.join(missing)}; it offers {', '.join(offered)}"
        )
    return offered


def set_module_parameters(parameters: dict[str, dict[str, str]]) -> None:
    """Set parameters of congestion controls' modules, and read them back.  Raises :class:`CongestionError`."""
    for algorithm, values in sorted(parameters.items()):
        folder = Path(f"/sys/module/tcp_{algorithm}/parameters")
        for name, value in values.items():
            if not (folder / name).exists():
                known = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
                raise CongestionError(f"tcp_{algorithm} has no parameter {name}; it has {', '.join(known) or 'none'}")
            try:
                (folder / name).write_text(value)
            except OSError as exc:
                raise CongestionError(f"tcp_{algorithm}: {name}={value}: {exc.strerror}") from exc


def _available() -> list[str]:
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as file:
        return sorted(file.read().split())
