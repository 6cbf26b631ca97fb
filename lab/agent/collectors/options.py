# SPDX-License-Identifier: Apache-2.0
"""A collector's options, in an experiment or on a command line → what its maps in the kernel are given."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.agent.collectors.registry import COLLECTORS

_TWO_WORDS = struct.Struct("<2Q")

Resolve = Callable[[str], str]
"""Name of a node, or an address → an address."""


@dataclass(frozen=True)
class Settings:
    """What a collector is started with."""

    tables: dict[str, dict[str, Any]]
    """Map → the fields of its only entry."""
    hooks: frozenset[str] = field(default_factory=frozenset)
    """The options among :class:`~lab.agent.collectors.registry.Hook`'s that are asked for."""


def settings(name: str, options: Mapping[str, Any], ports: tuple[int, int], resolve: Resolve = str) -> Settings:
    """``ports``: lowest and highest of those that are recorded unless ``options`` has a ``port``."""
    tables: dict[str, dict[str, Any]] = {}
    if name != "queue":
        tables[f"{name}_filter"] = _filter(options, ports, resolve)
    if name == "tcp_probe":
        tables["tcp_probe_config"] = {"cwnd_change_only": int(options.get("record") == "cwnd_change")}
    elif name == "flow":
        tables["flow_config"] = {"pid": options.get("pid") or 0}
    elif name == "queue":
        tables["queue_config"] = {
            "interval_ns": options.get("interval") or 0,
            "every_packet": int(bool(options.get("every_packet"))),
        }
    optional = {hook.option for hook in COLLECTORS[name].hooks if hook.option is not None}
    return Settings(tables, frozenset(option for option in optional if options.get(option)))


def _filter(options: Mapping[str, Any], ports: tuple[int, int], resolve: Resolve) -> dict[str, Any]:
    low, high = (options["port"], options["port"]) if options.get("port") else ports
    ends = options.get("ends", "both")
    values: dict[str, Any] = {
        "port_low": low,
        "port_high": high,
        # A sender's socket has the flow's port, which is the server's, at its remote end.
        "ports_local": int(ends in ("receivers", "both")),
        "ports_remote": int(ends in ("senders", "both")),
    }
    for option, end in (("host", "either"), ("source", "local"), ("destination", "remote")):
        if options.get(option):
            values[end] = _words(resolve(options[option]))
            values[f"has_{end}"] = 1
    return values


def _words(address: str) -> tuple[int, int]:
    """An address as the BPF programs compare it: IPv6, IPv4 mapped into it, as two words in memory's order."""
    parsed = ipaddress.ip_address(address)
    packed = parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
    first, second = _TWO_WORDS.unpack(packed)
    return first, second
