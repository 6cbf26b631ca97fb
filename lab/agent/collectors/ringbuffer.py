# SPDX-License-Identifier: Apache-2.0
"""Drain a BPF ring buffer in bulk: bytes are copied, never parsed, where the trial runs.

Layout: kernel/bpf/ringbuf.c.  The consumer's position is the first page, the producer's the second, the data
follow and are mapped twice in a row, so that a stretch that wraps reads on without a seam.
"""

from __future__ import annotations

import mmap
import struct
from typing import BinaryIO

HEADER_BYTES = 8
"""In front of every record: its length with the busy and discard bits, and a page offset."""

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_POSITION = struct.Struct("=Q")


class RingBuffer:
    """Reads fixed-size records from the ring buffer map ``fd`` with ``data_bytes`` of room."""

    def __init__(self, fd: int, data_bytes: int, event_bytes: int) -> None:
        page = mmap.PAGESIZE
        self.row_bytes = (HEADER_BYTES + event_bytes + 7) & ~7
        self._event_bytes = event_bytes
        self._size = data_bytes
        self._page = page
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer = mmap.mmap(fd, page + 2 * data_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._view = memoryview(self._producer)

    def drain(self, out: BinaryIO) -> int:
        """Append every finished record, header included, to ``out``; returns how many."""
        (consumed,) = _POSITION.unpack_from(self._consumer)
        (produced,) = _POSITION.unpack_from(self._producer)
        count = (produced - consumed) // self.row_bytes
        if count == 0:
            return 0
        start = self._page + consumed % self._size
        rows = self._view[start : start + count * self.row_bytes]
        count = self._finished(rows, count)
        out.write(rows[: count * self.row_bytes])
        _POSITION.pack_into(self._consumer, 0, consumed + count * self.row_bytes)
        return count

    def _finished(self, rows: memoryview, count: int) -> int:
        headers = rows.cast("I")[:: self.row_bytes // 4]
        if max(headers) == self._event_bytes:
            return count
        for index, header in enumerate(headers):
            if header & _BUSY:
                return index
            if header != self._event_bytes:
                raise ValueError(f"ring buffer record of {header & ~_DISCARDED} bytes, expected {self._event_bytes}")
        return count

    def close(self) -> None:
        self._view.release()
        self._consumer.close()
        self._producer.close()
