# SPDX-License-Identifier: Apache-2.0
"""Load the object of a congestion control and register it in the kernel, until it is closed."""

from __future__ import annotations

import base64
import ctypes
import errno
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from lab.agent.algorithms.errors import AlgorithmError
from lab.agent.algorithms.libbpf import RING_BUFFER, STRUCT_OPS, OpenOptions, library, listening
from lab.agent.congestion import available
from lab.job.protocol import Algorithm

MOST_MAP_BYTES = 64 << 20
"""The most memory that the maps and global variables of an object may have together."""

_F_LINK = 1 << 13
"""BPF_F_LINK of include/uapi/linux/bpf.h."""
_LINKS_SINCE = (6, 4)
_LOG_BYTES = 256 << 10
_LEVELS = (4, 1)
"""The levels of the verifier's log in the first and second attempt: a summary, and every instruction."""

TRACE_RING, TRACE_LOST = "lab_trace_ring", "lab_trace_lost"
"""The names of the maps in lab/cc/include/lab_cc.h in which ``lab_trace`` writes rows and counts lost ones."""


@dataclass(frozen=True)
class Ring:
    """A ring buffer of an object."""

    fd: int
    data_bytes: int


class RegisteredAlgorithm:
    """An algorithm that is registered until :meth:`close` is called."""

    def __init__(self, algorithm: Algorithm) -> None:
        """Load and register *algorithm*.

        Raises:
            AlgorithmError: The kernel does not accept it.
        """
        self.name = algorithm["name"]
        self._data = zlib.decompress(base64.b64decode(algorithm["object"]))
        self._object: int | None = None
        self._link: int | None = None
        try:
            self._load()
            self._register()
        except BaseException:
            self.close()
            raise

    @property
    def ring(self) -> Ring | None:
        """The ring buffer of ``lab_trace``; None if the algorithm records nothing."""
        for handle, name in self._maps():
            if name == TRACE_RING and library().bpf_map__type(handle) == RING_BUFFER:
                return Ring(library().bpf_map__fd(handle), library().bpf_map__max_entries(handle))
        return None

    def lost(self) -> int:
        """Return how many rows of ``lab_trace`` did not fit into the ring buffer since the object was loaded."""
        key, value = ctypes.c_uint32(0), ctypes.c_uint64(0)
        for handle, name in self._maps():
            sizes = library().bpf_map__key_size(handle), library().bpf_map__value_size(handle)
            if name == TRACE_LOST and sizes == (4, 8):
                fd = library().bpf_map__fd(handle)
                library().bpf_map_lookup_elem(fd, ctypes.byref(key), ctypes.byref(value))
        return value.value

    def close(self) -> None:
        """Remove the algorithm from the kernel."""
        if self._link is not None:
            library().bpf_link__destroy(self._link)
            self._link = None
        if self._object is not None:
            library().bpf_object__close(self._object)
            self._object = None

    def _load(self) -> None:
        """Load the object in at most two attempts.

        libbpf itself would try again with larger and larger logs of every instruction, which takes minutes of virtual
        time if a program has an unbounded loop.  A summary says the reason; the log of every instruction, which names
        the lines of the source, follows only if the verifier did not give up because it had seen too much.
        """
        said: list[str] = []
        for level in _LEVELS:
            log = ctypes.create_string_buffer(_LOG_BYTES)
            self._open(log, level, said)
            with listening(said):
                status = library().bpf_object__load(self._object)
            if status == 0:
                return
            said.append(log.value.decode(errors="replace"))
            library().bpf_object__close(self._object)
            self._object = None
            if -status == errno.E2BIG:
                break
        raise AlgorithmError(self.name, os.strerror(-status), "\n".join(said))

    def _open(self, log: ctypes.Array[ctypes.c_char], level: int, said: list[str]) -> None:
        options = OpenOptions(
            sz=ctypes.sizeof(OpenOptions),
            object_name=self.name.encode(),
            kernel_log_buf=ctypes.addressof(log),
            kernel_log_size=len(log),
            kernel_log_level=level,
        )
        with listening(said):
            found = library().bpf_object__open_mem(self._data, len(self._data), ctypes.byref(options))
        if not found:
            raise AlgorithmError(self.name, f"its object cannot be read: {_reason()}", "".join(said))
        self._object = found
        self._check_memory()
        self._bind_to_this_process()

    def _check_memory(self) -> None:
        needed = sum(
            library().bpf_map__max_entries(handle)
            * (library().bpf_map__key_size(handle) + library().bpf_map__value_size(handle))
            if library().bpf_map__type(handle) != RING_BUFFER
            else library().bpf_map__max_entries(handle)
            for handle, _name in self._maps()
        )
        if needed > MOST_MAP_BYTES:
            reason = (
                f"its maps and global variables have {needed >> 20} MiB; expected at most {MOST_MAP_BYTES >> 20} MiB"
            )
            raise AlgorithmError(self.name, reason)

    def _bind_to_this_process(self) -> None:
        """Let the kernel remove the algorithm when this process ends, in whatever way.

        Without a link (BPF_F_LINK, since Linux 6.4 and libbpf 1.2), it stays registered until it is removed.
        """
        found = re.match(r"(\d+)\.(\d+)", os.uname().release)
        if found is None or (int(found[1]), int(found[2])) < _LINKS_SINCE or library().libbpf_minor_version() < 2:
            return
        for handle, _name in self._maps():
            if library().bpf_map__type(handle) == STRUCT_OPS:
                library().bpf_map__set_map_flags(handle, library().bpf_map__map_flags(handle) | _F_LINK)

    def _register(self) -> None:
        found = [handle for handle, _name in self._maps() if library().bpf_map__type(handle) == STRUCT_OPS]
        if len(found) != 1:
            raise AlgorithmError(self.name, f"its object has {len(found)} algorithms; expected one")
        said: list[str] = []
        with listening(said):
            link = library().bpf_map__attach_struct_ops(found[0])
        if not link:
            number = ctypes.get_errno()
            reason = f"it cannot be registered: {os.strerror(number)}"
            raise AlgorithmError(self.name, reason, "".join(said))
        self._link = link
        if self.name not in available():
            raise AlgorithmError(self.name, "its object declares another name")

    def _maps(self) -> Iterator[tuple[int, str]]:
        current = None
        while current := library().bpf_object__next_map(self._object, current):
            yield current, library().bpf_map__name(current).decode(errors="replace")


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
