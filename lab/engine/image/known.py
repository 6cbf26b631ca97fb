# SPDX-License-Identifier: Apache-2.0
"""What an image's kernel and ``tc`` have: congestion control algorithms, and the parameters of queueing disciplines.

The list is made when the image is built, from the files of its kernel's modules and from the texts of usage in its
``tc``, and is kept beside the image.  It is no part of the image's content, nor of its digest.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from lab.names import Discipline

__all__ = ["FILE", "Known", "known_in", "of_configuration", "read_known", "write_known"]

FILE = "known.json"

Known = tuple[frozenset[str], dict[str, frozenset[str]]]
"""The names of the algorithms; discipline → the names of its parameters."""

_MODULE = re.compile(r"(?:.*/)?tcp_([a-z0-9_]+)\.ko")
_NO_ALGORITHMS = ("ao", "diag", "probe", "sigpool")
_OPTION = re.compile(r"CONFIG_TCP_CONG_([A-Z0-9_]+)=[ym]")
_NAMES = {"hstcp": "highspeed"}
"""Name of an option of the kernel → name of the algorithm, where they differ."""
_USAGE = re.compile(rb"Usage: \.\.\. <?(\[p\|b\]fifo|[a-z_]+)[^\0]*\0")
_NOT_IN_USAGE = {
    "cake": frozenset(
        {
            *("docsis", "ether-vlan", "pppoa-vcmux", "pppoa-llc", "pppoe-vcmux", "pppoe-llcsnap", "bridged-vcmux"),
            *("bridged-llcsnap", "ipoa-vcmux", "ipoa-llcsnap", "bridged-ptm", "pppoe-ptm", "via-ethernet", "ether-all"),
            *("ether-fcs", "diffserv-llt", "precedence"),
        }
    )
}
"""Discipline → words that ``tc`` takes without a mention in its usage (``man tc-cake``)."""
_WORD = re.compile(r"(?<![A-Za-z0-9_-])[a-z][a-z0-9_-]*(?![A-Za-z0-9_-])")
_FIFOS = {"bfifo": frozenset({"limit"}), "pfifo": frozenset({"limit"})}


def known_in(root: Path, kernel: str) -> Known:
    """Return what the root file system *root* has for the kernel of this release."""
    modules = root / "usr/lib/modules" / kernel
    names = [path.name for path in modules.glob("kernel/net/ipv4/tcp_*.ko*")]
    builtin = modules / "modules.builtin"
    names += builtin.read_text(encoding="utf-8").splitlines() if builtin.exists() else []
    found = (match[1] for match in map(_MODULE.match, names) if match)
    # reno is no module: the kernel always has it (net/ipv4/tcp_cong.c).
    program = root / "usr/sbin/tc"
    parameters = _parameters(program.read_bytes() if program.exists() else b"")
    return frozenset({"reno", *found} - {*_NO_ALGORITHMS}), parameters


def of_configuration(configuration: str) -> frozenset[str]:
    """Return the algorithms of a kernel with this configuration, the text of a ``.config``."""
    found = (match[1].lower() for match in map(_OPTION.fullmatch, configuration.splitlines()) if match)
    return frozenset({"reno", *(_NAMES.get(name, name) for name in found)} - {"advanced"})


def _parameters(program: bytes) -> dict[str, frozenset[str]]:
    """Return the words in the usage of each discipline; ``[ [no]ecn ]`` stands for two of them."""
    found = dict(_FIFOS)
    for match in _USAGE.finditer(program):
        name, text = match[1].decode(), match[0].decode(errors="replace")
        if name not in get_args(Discipline):
            continue
        text = text.partition(name)[2].partition("(*")[0]
        text = re.sub(r"\[(no_?)\]([a-z_]+)", r"\2 | \1\2", text)
        text = re.sub(r"([a-z_]+)\{([a-z]+)\|([a-z]+)\}", r"\1\2 | \1\3", text)
        found[name] = _NOT_IN_USAGE.get(name, frozenset()) | set(_WORD.findall(text))
    return found


def write_known(folder: Path, known: Known) -> None:
    """Write the list into the folder of an image."""
    algorithms, parameters = known
    document = {"algorithms": sorted(algorithms), "parameters": {name: sorted(of) for name, of in parameters.items()}}
    (folder / FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_known(folder: Path) -> Known | None:
    """Return the list from the folder of an image; None if it has none, as images of earlier versions."""
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        algorithms, parameters = document["algorithms"], document["parameters"]
        return frozenset(map(str, algorithms)), {name: frozenset(map(str, of)) for name, of in parameters.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
