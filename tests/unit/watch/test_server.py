# SPDX-License-Identifier: Apache-2.0
"""The server of the page: who may ask it, and what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from lab.engine.steering import PACES
from lab.errors import InputError
from lab.experiment.read.load import load_experiment
from lab.watch.server import Server
from lab.watch.session import Session
from tests.unit.watch.conftest import Running, run
from tests.unit.watch.engine import FakeEngine, links_of

READY = "Ready. Press Play to start the traffic."


def is_over(update: dict[str, Any]) -> bool:
    return bool(update["phase"] == "ended")


def test_the_page_needs_nothing_from_elsewhere(running: Running) -> None:
    status, body, headers = running.request("GET")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert b"lecture: bulk &lt;b&gt;&amp;" in body
    for word in (b"src=", b'<link rel="stylesheet', b"@import", b"url("):
        assert word not in body, word
    # Each page has its own nonce.
    assert running.request("GET")[2]["Content-Security-Policy"] != policy


def test_it_listens_on_the_loopback_interface_only(running: Running) -> None:
    assert running.server.server_address[0] == "127.0.0.1"
    assert running.server.url.startswith("http://127.0.0.1:")
    assert len(running.server.token) >= 32


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/events", "/wrong/", "/wrong/events", "//", "/wrong", "/%C3%A9/"])
def test_without_the_token_there_is_nothing(method: str, path: str, running: Running) -> None:
    status, body, _headers = running.request(method, path=path)
    assert status == 404
    assert running.server.token.encode() not in body


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_site_cannot_pass_its_name_off_as_this_address(method: str, host: str, running: Running) -> None:
    assert running.request(method, "play", headers={"Host": host})[0] == 421
    assert not running.session._steering.is_playing


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None, "https://127.0.0.1", "http://127.0.0.1:1"])
def test_another_site_cannot_press_play(origin: Any, running: Running) -> None:
    assert running.request("POST", "play", headers={"Origin": origin})[0] == 403
    assert not running.session._steering.is_playing


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_form_cannot_press_play(kind: Any, running: Running) -> None:
    assert running.request("POST", "play", headers={"Content-Type": kind})[0] == 415
    assert not running.session._steering.is_playing


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("play", b"{"),
        ("play", b"[]"),
        ("play", b"[" * 4000),
        ("play", {"pace": 3}),
        ("play", {"pace": "1"}),
        ("play", {"pace": [1]}),
        ("change", {}),
        ("change", {"side": 0, "quantity": "rate", "option": "1"}),
        ("change", {"side": 0, "quantity": [], "option": 1}),
        ("change", {"side": 7, "quantity": "rate", "option": 1}),
        ("change", {"side": True, "quantity": "rate", "option": 1}),
        ("_play", {}),
        ("__init__", {}),
        ("", {}),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(name: str, body: object, running: Running) -> None:
    status, text, _headers = running.request("POST", name, body)
    assert status == 400
    assert b"error" in text
    assert running.until(lambda update: update["phase"] == "ready")["message"] == READY


def test_a_page_that_is_faster_than_the_session_waits_for_it() -> None:
    session = Session(FakeEngine(), links_of(), Path("lecture.yaml"))
    answers: list[Exception] = []

    def ask() -> None:
        try:
            session.ask("play", {"pace": 3})
        except Exception as error:
            answers.append(error)

    page = threading.Thread(target=ask)
    page.start()
    page.join(0.2)
    assert page.is_alive()
    with contextlib.suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(session.run(), 1))
    page.join(60)
    assert [type(one) for one in answers] == [InputError]


def test_a_body_that_is_too_large_is_not_read(running: Running) -> None:
    assert running.request("POST", "play", b"{" + b" " * 5000 + b"}")[0] == 413


def test_a_port_that_is_in_use(running: Running) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="--port: cannot listen"):
            Server(running.session, str, taken.getsockname()[1])


def test_play_pause_and_the_end(running: Running) -> None:
    assert running.until(lambda update: update["phase"] == "ready")["now_ms"] <= 100
    assert running.request("POST", "play", {"pace": PACES[-1]})[0] == 200
    running.until(lambda update: update["now_ms"] >= 2000)
    running.request("POST", "pause")
    reached = running.until(lambda update: not update["playing"])["now_ms"]
    running.request("POST", "play", {"pace": None})
    update = running.until(is_over)
    assert reached < 20_000
    assert update["now_ms"] == 20_000
    assert update["message"] == "The traffic has ended."
    # A page that is opened now gets everything.
    points = next(iter(running.events()))["points"]
    assert points["goodput"]["v"] == [[4.0] * 199]
    assert running.request("POST", "change", {"side": 0, "quantity": "rate", "option": 1})[0] == 400


def test_two_pages_see_the_same_and_nothing_twice(running: Running) -> None:
    first, second = running.events(), running.events()
    seen: list[list[int]] = [[], []]
    for times, page in zip(seen, (first, second), strict=True):
        times += next(page)["points"]["goodput"]["t"]
    running.request("POST", "play", {"pace": None})
    for times, page in zip(seen, (first, second), strict=True):
        for update in page:
            times += update["points"]["goodput"]["t"]
            if is_over(update):
                break
    assert seen[0] == seen[1] == [100 * (tick + 1) for tick in range(199)]


def test_a_slider_reaches_the_guest_and_the_file(running: Running, tmp_path: Path) -> None:
    running.until(lambda update: update["phase"] == "ready")
    position = running.links.positions(0)[0]["rate"] - 3
    assert running.request("POST", "change", {"side": 0, "quantity": "rate", "option": position})[0] == 200
    running.request("POST", "play", {"pace": None})
    update = running.until(is_over)
    (command,) = running.engine.commands
    assert command["link"] == "bottleneck"
    assert command["changes"][0]["at_ns"] == command["at_ns"]
    assert update["positions"][0]["rate"] == position
    ((at_ms, name, quantity, _label),) = update["done"]
    assert (at_ms * 10**6, name, quantity) == (command["at_ns"], "topology.bottleneck", "rate")
    paths = []
    for _ in range(2):
        status, body, _headers = running.request("POST", "save")
        assert status == 200
        assert b"lecture_watched" in body
        paths = sorted(path.name for path in tmp_path.iterdir())
    # Nothing is ever overwritten.
    assert paths == ["lecture_watched.yaml", "lecture_watched_2.yaml"]
    loaded = load_experiment(tmp_path / paths[0])
    (step,) = loaded.raw["topology"]["bottleneck"]["schedule"]
    assert step["rate"] == "5mbit"
    assert b"`lab run` repeats it to the byte" in loaded.text


def test_a_folder_in_which_nothing_can_be_written(running: Running, tmp_path: Path) -> None:
    running.session._file = tmp_path / "gone" / "lecture.yaml"
    status, body, _headers = running.request("POST", "save")
    assert status == 400
    assert b"cannot be written: No such file" in body


def test_again(running: Running) -> None:
    running.until(lambda update: update["phase"] == "ready")
    running.request("POST", "change", {"side": 0, "quantity": "rate", "option": 0})
    running.request("POST", "play", {"pace": None})
    running.until(is_over)
    running.request("POST", "again")
    update = running.until(lambda update: update["phase"] == "ready")
    assert update["trial"] > 1
    assert update["done"] == []
    assert update["points"]["goodput"]["t"] == []


def test_a_trial_that_fails_says_why(tmp_path: Path) -> None:
    for running in run(tmp_path, error="the guest's kernel panicked"):
        update = running.until(lambda update: update["phase"] == "failed")
        assert update["message"] == "The trial failed: the guest's kernel panicked"


def test_the_session_ends_when_the_last_page_is_closed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.watch.session._GRACE_S", 0.5)
    page = running.events()
    next(page)
    # Nobody has opened a page before, so it did not end while there was none.
    assert running.thread.is_alive()
    page.close()  # type: ignore[attr-defined]
    running.thread.join(30)
    assert not running.thread.is_alive()
    assert running.engine.running == 0
    assert running.request("POST", "play")[0] == 410
