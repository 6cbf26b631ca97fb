# SPDX-License-Identifier: Apache-2.0
"""Translate a collector's options, from an experiment or a command line, into the contents of its BPF maps."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.agent.collectors.registry import COLLECTORS

_TWO_WORDS = struct.Struct("<2Q")

Resolve = Callable[[str], str]
"""A function that turns the name of a node into its address, and leaves an address as it is."""


@dataclass(frozen=True)
class Settings:
    """The configuration with which a collector is started."""

    tables: dict[str, dict[str, Any]]
    """Name of a map → the fields of its single entry."""
    hooks: frozenset[str] = field(default_factory=frozenset)
    """The enabled options that need additional hooks (see :attr:`lab.agent.collectors.registry.Hook.option`)."""


def settings(name: str, options: Mapping[str, Any], ports: tuple[int, int], resolve: Resolve = str) -> Settings:
    """Return the settings of the collector *name* for the given options.

    ``ports`` is the range of ports (lowest, highest) that is recorded if ``options`` has no ``port``.
    """
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
        # The flow's port is that of its server, which is the remote port for the socket that sends.
        "ports_local": int(ends in ("receivers", "both")),
        "ports_remote": int(ends in ("senders", "both")),
    }
    for option, end in (("host", "either"), ("source", "local"), ("destination", "remote")):
        if options.get(option):
            values[end] = _words(resolve(options[option]))
            values[f"has_{end}"] = 1
    return values


def _words(address: str) -> tuple[int, int]:
    """Return an address in the form that the BPF programs compare: the bytes of the IPv6 address as two 64-bit words.

    An IPv4 address becomes an IPv4-mapped IPv6 address.
    """
    parsed = ipaddress.ip_address(address)
    packed = parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
    first, second = _TWO_WORDS.unpack(packed)
    return first, second
