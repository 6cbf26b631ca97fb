# SPDX-License-Identifier: Apache-2.0
"""Drain a BPF ring buffer in bulk: while a trial runs, events are copied as bytes and never parsed.

The layout is that of kernel/bpf/ringbuf.c: the first page holds the consumer's position, the second page the
producer's, and the data follow.  The data pages are mapped twice in a row, so that a range that wraps around the end of
the buffer can be read as one piece.
"""

from __future__ import annotations

import mmap
import struct
from typing import BinaryIO

HEADER_BYTES = 8
"""Size of the header in front of each record: the record's length with the busy and discard bits, and a page offset."""

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_POSITION = struct.Struct("=Q")


class RingBuffer:
    """A reader of fixed-size records of ``event_bytes`` from the ring buffer map ``fd``, which holds ``data_bytes``."""

    def __init__(self, fd: int, data_bytes: int, event_bytes: int) -> None:
        page = mmap.PAGESIZE
        self.row_bytes = (HEADER_BYTES + event_bytes + 7) & ~7
        self._event_bytes = event_bytes
        self.data_bytes = data_bytes
        self._page = page
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer = mmap.mmap(fd, page + 2 * data_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._view = memoryview(self._producer)

    def drain(self, out: BinaryIO) -> int:
        """Append every finished record, including its header, to ``out`` and return how many there were."""
        (consumed,) = _POSITION.unpack_from(self._consumer)
        (produced,) = _POSITION.unpack_from(self._producer)
        count = (produced - consumed) // self.row_bytes
        if count == 0:
            return 0
        start = self._page + consumed % self.data_bytes
        rows = self._view[start : start + count * self.row_bytes]
        count = self._finished(rows, count)
        out.write(rows[: count * self.row_bytes])
        self._free_until(consumed + count * self.row_bytes)
        return count

    def skip(self) -> int:
        """Discard every record, and return how many there were."""
        (consumed,) = _POSITION.unpack_from(self._consumer)
        (produced,) = _POSITION.unpack_from(self._producer)
        self._free_until(produced)
        return int(produced - consumed) // self.row_bytes

    def _free_until(self, position: int) -> None:
        # The kernel may read the position at any moment.  struct.pack_into would fill its place with zeros before it
        # writes the number, and the kernel, which would find no room, would lose an event.
        self._consumer[: _POSITION.size] = _POSITION.pack(position)

    def _finished(self, rows: memoryview, count: int) -> int:
        headers = rows.cast("I")[:: self.row_bytes // 4]
        if max(headers) == self._event_bytes:
            return count
        for index, header in enumerate(headers):
            if header & _BUSY:
                return index
            if header != self._event_bytes:
                raise ValueError(
                    f"the ring buffer has a record of {header & ~_DISCARDED} bytes; expected {self._event_bytes} bytes"
                )
        return count

    def close(self) -> None:
        self._view.release()
        self._consumer.close()
        self._producer.close()
