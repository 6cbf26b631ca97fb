# SPDX-License-Identifier: Apache-2.0
"""Run a coroutine to its end, also where an event loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

_T = TypeVar("_T")

TICK_S = 0.25
"""How often the calling thread does something while it waits, in seconds."""


def run_in_own_loop(make: Callable[[], Coroutine[Any, Any, _T]], tick: Callable[[], None]) -> _T:
    """Run the coroutine that *make* returns in a thread and an event loop of its own, and return its result.

    The calling thread waits and calls *tick* every :data:`TICK_S`.  If it is interrupted (``KeyboardInterrupt``), the
    coroutine is cancelled, and the interrupt goes on when the coroutine has cleaned up.  The engines' processes end
    with the thread that has started them, so that all of them are started in one that lives as long as they do.
    """
    outcome: Future[_T] = Future()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def observed() -> _T:
        task = asyncio.current_task()
        assert task is not None
        running.set_result((asyncio.get_running_loop(), task))
        return await make()

    def work() -> None:
        try:
            outcome.set_result(asyncio.run(observed()))
        except BaseException as error:
            outcome.set_exception(error)

    # What the caller has chosen, such as bundles, holds in the thread, too.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="lab.run")
    thread.start()
    try:
        while not wait([outcome], TICK_S).done:
            tick()
    except BaseException:
        both: list[Future[Any]] = [running, outcome]
        wait(both, return_when=FIRST_COMPLETED)
        if running.done():
            loop, task = running.result()
            with contextlib.suppress(RuntimeError):  # the loop is closed, because everything has just ended
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    thread.join()
    return outcome.result()
