# SPDX-License-Identifier: Apache-2.0
"""A session with an engine that needs no kernel, and its server."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.watch.links import WatchedLinks
from lab.watch.rendering import WatchPage
from lab.watch.server import Server, serving
from lab.watch.session import Session
from tests.unit.watch.engine import EXPERIMENT, FakeEngine, links_of

LONGEST_S = 60.0


@dataclass
class Running:
    """A session that runs in a thread."""

    session: Session
    server: Server
    engine: FakeEngine
    links: WatchedLinks
    thread: threading.Thread
    failures: list[BaseException] = field(default_factory=list)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)

    def request(
        self, method: str, name: str = "", body: object = None, headers: dict[str, str] | None = None, **more: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send a request as the page would, with other *headers* if they are given; return what is answered."""
        connection = self.connection()
        try:
            sent = {"Origin": f"http://127.0.0.1:{self.server.server_port}", "Content-Type": "application/json"}
            data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
            path = more.get("path", f"/{self.server.token}/{name}")
            sent = {key: value for key, value in {**sent, **(headers or {})}.items() if value is not None}
            connection.request(method, path, data if method == "POST" else None, sent)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the updates that a page gets."""
        connection = self.connection()
        try:
            connection.request("GET", f"/{self.server.token}/events")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.getheader("Content-Type") == "text/event-stream"
            while line := answer.readline():
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
        finally:
            connection.close()

    def until(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first update for which *what* is true."""
        end = time.monotonic() + LONGEST_S
        for update in self.events():
            if what(update):
                return update
            assert time.monotonic() < end, update
        raise AssertionError("the session has ended")


def run(
    folder: Path, text: str = EXPERIMENT, error: str | None = None, own: dict[bytes, int] | None = None
) -> Iterator[Running]:
    links = links_of(text)
    engine = FakeEngine(error, own)
    session = Session(engine, links, folder / "lecture.yaml")
    page = WatchPage("lecture: bulk <b>&", "uml", links)
    with serving(session, page.html) as server:
        running = Running(session, server, engine, links, threading.Thread())

        def work() -> None:
            try:
                asyncio.run(ended())
            except BaseException as failure:
                running.failures.append(failure)

        stop = threading.Event()

        async def ended() -> None:
            task = asyncio.ensure_future(session.run())
            while not task.done() and not stop.is_set():
                await asyncio.sleep(0.02)
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=stop.is_set())

        running.thread = threading.Thread(target=work)
        running.thread.start()
        yield running
        stop.set()
        running.thread.join(LONGEST_S)
    assert not running.thread.is_alive()
    assert running.failures == []
    assert engine.running == 0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A session whose trial waits for somebody to press Play."""
    yield from run(tmp_path)
