# SPDX-License-Identifier: Apache-2.0
"""One lecture: a trial that runs, what has been seen of it, and what the pages ask for.

The session runs in an event loop.  The threads of the server call :meth:`Session.ask` and :meth:`Session.subscribe`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lab.engine.base import cancelled
from lab.engine.steering import PACES, Steering, Watchable
from lab.errors import InputError, LabError
from lab.experiment.read.load import load_text
from lab.job.watched import unpacked
from lab.watch.links import WatchedLinks
from lab.watch.samples import Samples

_T = TypeVar("_T")

_ANSWER_LIMIT_S = 30.0
_UPDATE_S = 0.1
"""The wall-clock time between two updates of the pages."""
_MOST_BEHIND = 200
"""How many updates a page may be behind before it is given up."""
_GRACE_S = 5.0
"""How long after the last page is closed the session ends: a page that is loaded again is away for a moment."""
_MOST_PAGES = 8
_REVISIONS = 1000

STEPS = {
    "topology is up": "The network is built.",
    "calibrated": "The path is measured.",
    "traffic starts": "Traffic is about to start.",
}
"""Step of a trial → what the page says when it is done."""


class Session:
    """A trial that is watched."""

    def __init__(self, engine: Watchable, links: WatchedLinks, file: Path, *, pace: float | None = 1.0) -> None:
        """``file`` is the experiment; what is saved is written next to it."""
        self.links = links
        self._engine = engine
        self._file = file
        self._pace = pace
        self._pages: list[queue.Queue[dict[str, Any] | None]] = []
        self._had_page = False
        self._alone_since = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_begun = threading.Event()
        self._again = asyncio.Event()
        self._trials = 0
        self._begin()

    def _begin(self) -> None:
        self._phase, self._message = "preparing", "The network is being built."
        self._steering = Steering(self._on_frame, pace=self._pace)
        self._samples = Samples(self.links.job, self.links.limit_packets)
        self._sent: dict[str, int] = {}  # Chart → the number of points that the pages have.
        self._trials += 1

    async def run(self) -> None:
        """Run trials until all pages have been closed.

        Raises:
            LabError: The engine does not work.
        """
        self._loop = asyncio.get_running_loop()
        self._has_begun.set()
        pages = asyncio.ensure_future(self._serve_pages())
        try:
            while True:
                self._begin()
                self._tell_all()
                trial = asyncio.ensure_future(self._trial())
                again = asyncio.ensure_future(self._again.wait())
                try:
                    await asyncio.wait((pages, again, trial), return_when=asyncio.FIRST_COMPLETED)
                    if trial.done():
                        trial.result()
                        await asyncio.wait((pages, again), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    again.cancel()
                    await cancelled(trial)
                if pages.done():
                    return pages.result()
                self._again.clear()
        finally:
            pages.cancel()
            for page in self._pages:
                page.put(None)

    async def _trial(self) -> None:
        try:
            await self._engine.watch(self.links.job, self._steering)
        except LabError as error:
            self._phase, self._message = "failed", f"The trial failed: {error}"
        else:
            if self._phase != "failed":
                self._phase, self._message = "ended", "The traffic has ended."
        self._steering.pause()

    def _on_frame(self, frame: bytes) -> None:
        head, parts = unpacked(frame)
        kind, message = head.get("kind"), str(head.get("message", ""))[:2000]
        if kind == "step":
            self._message = STEPS.get(message, self._message)
        elif kind == "start":
            self._samples.begin(head)
            self._phase, self._message = "ready", "Ready. Press Play to start the traffic."
        elif kind == "tick":
            self._samples.add(head["now_ns"], parts)
        elif kind == "end" and message:
            self._phase, self._message = "failed", f"The trial failed: {message}"

    # --- what the pages see ------------------------------------------------------------------------------------

    @contextmanager
    def subscribe(self) -> Iterator[queue.Queue[dict[str, Any] | None]]:
        """Yield the updates of a page, of which the first contains everything so far; None is the last one.

        Raises:
            InputError: There are too many pages.
        """
        updates: queue.Queue[dict[str, Any] | None] = queue.Queue()

        async def enter() -> None:
            if len(self._pages) >= _MOST_PAGES:
                raise InputError(f"there are {_MOST_PAGES} pages already")
            # What is new now is in the first update, and the other pages must not miss it.
            self._tell_all()
            self._pages.append(updates)
            self._had_page = True
            updates.put(self._update(whole=True))

        async def leave() -> None:
            if updates in self._pages:
                self._pages.remove(updates)
            self._alone_since = time.monotonic()

        self._in_loop(enter())
        try:
            yield updates
        finally:
            with contextlib.suppress(RuntimeError):  # The session has ended.
                self._in_loop(leave())

    def ask(self, what: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a page asks for, and return what it gets to know.

        Raises:
            InputError: The wish makes no sense, or cannot be fulfilled now.
        """
        doers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "play": self._play,
            "pause": self._hold,
            "change": self._change,
            "save": self._save,
            "again": self._start_again,
        }
        if what not in doers:
            raise InputError(f"found {what!r}; expected one of {', '.join(doers)}")

        async def do() -> dict[str, Any]:
            found = doers[what](wish)
            self._tell_all()
            return found

        return self._in_loop(do())

    def _in_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run ``work`` in the session's event loop and return its result; called by other threads.

        Raises:
            RuntimeError: The session has not begun, or has ended.
        """
        try:
            # The page may be faster than the session, since its address is known first.
            self._has_begun.wait(_ANSWER_LIMIT_S)
            if self._loop is None:
                raise RuntimeError("the session has not begun")
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_LIMIT_S)
        except (RuntimeError, CancelledError, TimeoutError) as error:
            work.close()
            raise RuntimeError("the session has ended") from error

    async def _serve_pages(self) -> None:
        """Send updates to all pages; return when the last one has been closed."""
        while True:
            await asyncio.sleep(_UPDATE_S)
            self._tell_all()
            if not self._pages and self._had_page and time.monotonic() - self._alone_since > _GRACE_S:
                return

    def _tell_all(self) -> None:
        if self._pages:
            update = self._update(whole=False)
            for page in list(self._pages):
                page.put(update)
                if page.qsize() > _MOST_BEHIND:
                    self._pages.remove(page)
                    page.put(None)
        for name, chart in self._samples.charts.items():
            self._sent[name] = chart.count

    def _update(self, *, whole: bool) -> dict[str, Any]:
        steering = self._steering
        reached_ns = steering.reached_ns or 0
        playing = self._phase in ("ready", "running") and steering.is_playing
        if self._phase == "ready" and steering.is_playing:
            self._phase, self._message = "running", ""
        return {
            "whole": whole,
            "trial": self._trials,
            "phase": self._phase,
            "message": self._message,
            "playing": playing,
            "pace": self._pace,
            "real_pace": steering.real_pace,
            "now_ms": reached_ns // 10**6,
            "positions": self.links.positions(steering.next_ns),
            "done": [[at_ns // 10**6, *rest] for at_ns, *rest in self.links.done],
            "lost": self._samples.lost,
            "points": {
                name: chart.taken_from(0 if whole else self._sent.get(name, 0))
                for name, chart in self._samples.charts.items()
            },
            "more_names": self._samples.has_more_names,
        }

    # --- what the pages ask for --------------------------------------------------------------------------------

    def _play(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        pace = wish.get("pace", self._pace)
        if pace is not None and pace not in PACES:
            raise InputError(f"found the pace {pace!r}; expected one of {', '.join(map(str, PACES))}, or null")
        self._pace = pace
        if wish.get("go", True) and self._phase in ("ready", "running", "preparing"):
            self._steering.play(pace)
        return {}

    def _hold(self, _wish: Mapping[str, Any]) -> dict[str, Any]:
        self._steering.pause()
        return {}

    def _change(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        side, option = wish.get("side"), wish.get("option")
        quantity: Any = wish.get("quantity")
        if type(side) is not int or type(option) is not int:
            raise InputError("expected the numbers 'side' and 'option'")
        if self._phase not in ("ready", "running", "preparing"):
            raise InputError("the traffic has ended; nothing can be changed any more")
        at_ns = self._steering.next_ns
        if at_ns >= self.links.job["duration_ns"]:
            raise InputError("the traffic ends before the change could take effect")
        self._steering.change(at_ns, self.links.change(at_ns, side, quantity, option))
        return {}

    def _save(self, _wish: Mapping[str, Any]) -> dict[str, Any]:
        header = (
            f"What was changed while `lab watch` showed {self._file.name}, as steps of the links' schedules.\n"
            "`lab run` repeats it to the byte."
        )
        data = self.links.as_experiment(header)
        load_text(self._file, data)  # What is saved must be an experiment.
        for number in range(1, _REVISIONS):
            path = self._file.with_name(f"{self._file.stem}_watched{'' if number == 1 else f'_{number}'}.yaml")
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                continue
            except OSError as error:
                raise InputError(f"{path} cannot be written: {error.strerror}") from error
            return {"path": str(path), "text": data.decode()}
        raise InputError(f"there are {_REVISIONS} files like {path.name} already")

    def _start_again(self, _wish: Mapping[str, Any]) -> dict[str, Any]:
        self.links.forget()
        self._again.set()
        return {}
