# SPDX-License-Identifier: Apache-2.0
"""What host and guest exchange while a trial is watched: frames from the guest, and a control document from the host.

At each tick of virtual time, the guest publishes a *frame* with what its collectors have recorded since the previous
tick, and reads the *control*, which says how far it may run and which links change.

This module is copied into the guest.  It therefore uses only the standard library, and of ``lab`` only what is in
``lab.job``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

from lab.job.protocol import Change, Field

WATCHED_TICK_NS = 100_000_000
"""The virtual time between two frames, in nanoseconds."""

MOST_FRAME_BYTES = 8 << 20
"""The largest frame: 100 ms of acknowledgements at 1 Gbit/s are about 1.5 MB."""
MOST_CONTROL_BYTES = 2 << 20
"""The largest control document."""

_LENGTH = struct.Struct("<I")


class Layout(TypedDict):
    """The rows of a collector: as in :class:`lab.job.protocol.CollectorResult`, but for rows that are still to come."""

    row_bytes: int
    fields: list[Field]
    names: dict[str, dict[str, str]]


class WatchedQueue(TypedDict):
    """A queue on the path of a flow's data, and the numbers by which rows of ``backlog`` name its interface."""

    link: str
    way: Literal["ab", "ba"]
    netns: int
    ifindex: int


class WatchedFlow(TypedDict):
    """A flow, and the ports of its data connection at the end that sends; 0 for short flows, which have many."""

    name: str
    sport: int
    dport: int


class Frame(TypedDict):
    """The head of a frame.  The rows of each collector follow it."""

    kind: Literal["step", "start", "tick", "end"]
    """``step``: something before the traffic is done; ``start``: traffic is about to start; ``tick``: rows; ``end``:
    the trial has ended."""
    message: NotRequired[str]
    """step: what is done; end: why the trial has failed, or empty."""
    now_ns: NotRequired[int]
    """tick: the virtual time since the start of traffic, a multiple of :data:`WATCHED_TICK_NS`."""
    start_ns: NotRequired[int]
    """start: the start of traffic on CLOCK_MONOTONIC, which is the clock of the rows."""
    layouts: NotRequired[dict[str, Layout]]
    queues: NotRequired[list[WatchedQueue]]
    flows: NotRequired[list[WatchedFlow]]


class Command(TypedDict):
    """New changes of one direction of a link, which replace all of those that it had so far."""

    number: int
    """Commands are numbered from 1, in the order in which they are applied."""
    at_ns: int
    """When to apply the change that has this time; the changes after it have their own times."""
    link: str
    way: Literal["ab", "ba"]
    changes: list[Change]


class Control(TypedDict):
    """What the host asks of the guest.

    When the guest reaches a tick after ``allowed_ns``, it waits until the host allows more.  All commands for a tick
    are there before the host allows it, so that the guest applies each of them at its time.
    """

    allowed_ns: int
    commands: list[Command]


def packed(head: Frame, parts: Mapping[str, bytes] = {}) -> bytes:
    """Return a frame as bytes; *parts* maps the names of collectors to their rows."""
    text = json.dumps({**head, "parts": {name: len(rows) for name, rows in parts.items()}}).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *parts.values()))


def unpacked(frame: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the head of a frame, which may come from anybody, and the rows of each collector.

    Raises:
        ValueError: This is no frame.
    """
    if len(frame) < _LENGTH.size:
        raise ValueError("the frame is cut off")
    (length,) = _LENGTH.unpack_from(frame)
    end = _LENGTH.size + length
    try:
        head = json.loads(frame[_LENGTH.size : end])
    except RecursionError as error:
        raise ValueError("the head of the frame is nested too deeply") from error
    sizes = head.pop("parts", None) if isinstance(head, dict) else None
    if not isinstance(sizes, dict):
        raise ValueError("the head of the frame is no mapping with 'parts'")
    parts = {}
    for name, size in sizes.items():
        if type(size) is not int or not 0 <= size <= len(frame) - end:
            raise ValueError(f"the frame has no {size!r} bytes of {name!r}")
        parts[name] = frame[end : end + size]
        end += size
    if end != len(frame):
        raise ValueError(f"{len(frame) - end} bytes of the frame belong to nothing")
    return head, parts
