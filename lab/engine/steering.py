# SPDX-License-Identifier: Apache-2.0
"""Steer a trial that is watched: how far it may run, and which changes of its links are applied when.  No I/O.

The guest waits at the first tick after the time up to which it may run (see :mod:`lab.job.watched`).  A change is
applied at that tick, which the guest cannot have passed, so its time is known before it is applied.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from lab.job.network import DirectionName
from lab.job.protocol import Change, Job
from lab.job.watched import WATCHED_TICK_NS, Command, unpacked

PACES = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""The paces that can be chosen, in virtual seconds per second; the other choice is as fast as possible."""

_AHEAD_TICKS = 3
"""By how many ticks the guest may be ahead of what has been seen of it.  A change takes effect after them."""
_AHEAD_S = 0.2
"""The guest may also be ahead by what it should run in this wall-clock time, so that it does not wait for the host."""
_FAST_AHEAD_TICKS = 20
"""By how many ticks it may be ahead if it is to run as fast as possible."""
_RESOLUTION_S = 2.0
"""The wall-clock time over which the real pace is averaged, in seconds."""


class Watchable(Protocol):
    """An engine that lets a trial be watched."""

    async def watch(self, job: Job, steering: Steering) -> None:
        """Run ``job`` as ``steering`` says, and pass it all frames; return when the trial has ended.

        Raises:
            TrialError: The trial failed.
        """


class Steering:
    """What the user of a watched trial asks for, and how far the trial has come.  Everything runs in one thread."""

    def __init__(
        self,
        on_frame: Callable[[bytes], None],
        *,
        pace: float | None = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*on_frame* is called with each frame of the guest; *clock* returns the wall-clock time in seconds."""
        self.pace = pace
        """Virtual seconds per second; None: as fast as possible."""
        self.is_playing = False
        self.reached_ns: int | None = None
        """The last tick that the guest has reached; None before traffic starts."""
        self.allowed_ns = -WATCHED_TICK_NS
        self._on_frame = on_frame
        self._clock = clock
        self._commands: list[Command] = []
        self._numbers = 0
        self._anchor = (0.0, 0.0)
        self._seen: list[tuple[float, int]] = []
        self._is_stale = True

    # --- what the user asks for --------------------------------------------------------------------------------

    def play(self, pace: float | None) -> None:
        """Let the trial run from here on, at ``pace``; None: as fast as possible."""
        self.pace, self.is_playing = pace, True
        self._anchor = (self._clock(), float(max(self.reached_ns or 0, self.allowed_ns, 0)))
        self._seen = []

    def pause(self) -> None:
        """Stop the trial at the next tick that the guest has not been allowed to pass."""
        self.is_playing = False
        self._seen = []

    @property
    def next_ns(self) -> int:
        """The time of a change that is asked for now: the first tick that the guest cannot have passed."""
        return max(self.allowed_ns + WATCHED_TICK_NS, WATCHED_TICK_NS)

    def change(self, at_ns: int, directions: Sequence[tuple[str, DirectionName, list[Change]]]) -> None:
        """Replace the changes of *directions*, one of which, at ``at_ns``, is that of :attr:`next_ns`."""
        for link, way, changes in directions:
            self._numbers += 1
            same = (at_ns, link, way)
            self._commands = [one for one in self._commands if (one["at_ns"], one["link"], one["way"]) != same]
            self._commands.append(
                {"number": self._numbers, "at_ns": at_ns, "link": link, "way": way, "changes": changes}
            )
        self._is_stale = True

    # --- what an engine asks and tells -------------------------------------------------------------------------

    def saw(self, frame: bytes) -> None:
        """Take note of a frame of the guest.

        Raises:
            ValueError: The guest has written something else.
        """
        head, _parts = unpacked(frame)
        now_ns = head.get("now_ns")
        if head.get("kind") == "start":
            self.reached_ns = 0
        elif head.get("kind") == "tick":
            if type(now_ns) is not int or now_ns < 0:
                raise ValueError(f"the frame has the time {now_ns!r}")
            self.reached_ns = now_ns
            # The guest applies the commands for a tick after it has reported it.
            self._commands = [one for one in self._commands if one["at_ns"] >= now_ns]
            self._seen.append((self._clock(), now_ns))
        self._on_frame(frame)

    def control(self) -> bytes | None:
        """Return the new control document; None if it is the same as before."""
        self._advance()
        if not self._is_stale:
            return None
        self._is_stale = False
        return json.dumps({"allowed_ns": self.allowed_ns, "commands": self._commands}).encode()

    @property
    def is_held(self) -> bool:
        """Whether the guest waits for the host."""
        return self.reached_ns is not None and self.reached_ns > self.allowed_ns

    @property
    def real_pace(self) -> float | None:
        """Virtual seconds per second of late; None if it is not known."""
        now = self._clock()
        self._seen = [one for one in self._seen if now - one[0] < _RESOLUTION_S]
        if not self.is_playing or len(self._seen) < 2:
            return None
        (first_s, first_ns), (last_s, last_ns) = self._seen[0], self._seen[-1]
        return (last_ns - first_ns) / 1e9 / (last_s - first_s) if last_s > first_s else None

    def _advance(self) -> None:
        if not self.is_playing or self.reached_ns is None:
            return
        if self.pace is None:
            allowed = self.reached_ns + _FAST_AHEAD_TICKS * WATCHED_TICK_NS
        else:
            now, (since_s, since_ns) = self._clock(), self._anchor
            target = since_ns + (now - since_s) * self.pace * 1e9
            most = self.reached_ns + max(_AHEAD_TICKS * WATCHED_TICK_NS, self.pace * _AHEAD_S * 1e9)
            if target > most:
                # The engine is slower than the pace that was chosen.  It need not catch up later.
                self._anchor, target = (now, most), most
            allowed = int(target)
        allowed = allowed // WATCHED_TICK_NS * WATCHED_TICK_NS
        if allowed > self.allowed_ns:
            self.allowed_ns, self._is_stale = allowed, True
