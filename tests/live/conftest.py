# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests on this machine's own kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with the interface ``inside`` (10.99.0.1/24), one end of a veth pair that leads nowhere."""
    name = f"labtest{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in (
            "link add inside type veth peer name outside",
            # Without link-local addresses, IPv6 sends no packets of its own.
            "link set inside addrgenmode none",
            "link set outside addrgenmode none",
            "address add 10.99.0.1/24 dev inside",
            "link set inside up",
            "link set outside up",
            "link set lo up",
            # Packets to this neighbour are sent, but nobody answers.
            "neighbour replace 10.99.0.2 lladdr 02:00:00:00:00:99 dev inside nud permanent",
        ):
            subprocess.run(["ip", "-n", name, *command.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
