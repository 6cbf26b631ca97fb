# SPDX-License-Identifier: Apache-2.0
"""Where the BPF programs are found: in an installed package, in a checkout, and for all who ask."""

from __future__ import annotations

from pathlib import Path

from lab.engine import sources
from lab.job.bpf_sources import BPF_SOURCES, bpf_sources


def test_an_installed_package_has_the_programs_inside(tmp_path: Path) -> None:
    (tmp_path / "lab" / "bpf").mkdir(parents=True)
    (tmp_path / "bpf").mkdir()  # of another package
    assert bpf_sources(tmp_path / "lab") == tmp_path / "lab" / "bpf"


def test_a_checkout_has_them_next_to_the_package(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    assert bpf_sources(tmp_path / "lab") == tmp_path / "bpf"


def test_the_guest_gets_all_of_them() -> None:
    given = sources.bpf_files()
    assert {"bpf/events.h", "bpf/tcp_probe.bpf.c", "bpf/kernel/include/linux/types.h"} <= given.keys()
    assert given["bpf/events.h"] == (BPF_SOURCES / "events.h").read_bytes()
