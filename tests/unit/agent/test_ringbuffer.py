# SPDX-License-Identifier: Apache-2.0
"""The reader of ring buffers, with a file in place of the kernel's memory."""

from __future__ import annotations

import mmap
import struct
import subprocess
import sys
import time
from pathlib import Path

DATA_BYTES = 4 * mmap.PAGESIZE
PRODUCED = 0x0101010101010101

READER = f"""
import os, sys
from lab.agent.collectors.ringbuffer import RingBuffer
ring = RingBuffer(os.open(sys.argv[1], os.O_RDWR), {DATA_BYTES}, 8)
while True:
    ring.skip()
"""


def test_the_kernel_never_sees_a_half_written_position(tmp_path: Path, all_processors: None) -> None:
    path = tmp_path / "ring"
    with open(path, "w+b") as file:
        file.truncate(2 * mmap.PAGESIZE + 2 * DATA_BYTES)
        memory = mmap.mmap(file.fileno(), 0)
    struct.pack_into("<Q", memory, mmap.PAGESIZE, PRODUCED)
    with subprocess.Popen([sys.executable, "-c", READER, str(path)]) as reader:
        try:
            while memory[:8] == bytes(8):
                time.sleep(0.01)
            found = {memory[:8] for _ in range(300_000)}
        finally:
            reader.kill()
    assert found == {PRODUCED.to_bytes(8, "little")}
