# SPDX-License-Identifier: Apache-2.0
"""Serve the page of ``lab watch`` to browsers on this machine, and to nobody else.

The server listens on the loopback interface only.  Other users of the machine, and pages of other sites in the same
browser, can send requests there, too; therefore

- each path begins with a random token, which only the user gets to know;
- a request must name this server in its header ``Host``, so that no other site can pass its own name off as this
  address (DNS rebinding);
- a request that does something must come from this page, as its header ``Origin`` says, and be JSON, so that no form of
  another site can send it.
"""

from __future__ import annotations

import hmac
import json
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from lab.errors import InputError
from lab.watch.session import Session

_ADDRESS = "127.0.0.1"
_MOST_BODY_BYTES = 4096
_IDLE_LIMIT_S = 30
"""How long a connection may say nothing before a request is complete, in seconds."""
_HEARTBEAT_S = 1.0
"""How often something is sent to a page at the least, in seconds: otherwise nobody would notice that it is closed."""
_NO_SUCH_PAGE = "There is no such page.\n"


class Server(ThreadingHTTPServer):
    """The server of one session."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, session: Session, page: Callable[[str], str], port: int = 0) -> None:
        """Listen on *port* of the loopback interface, or on a free one.

        *page* returns the page, whose scripts and styles have the nonce that it is given.

        Raises:
            InputError: The port is in use.
        """
        self.session = session
        self.page = page
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except OSError as error:
            raise InputError(f"--port: cannot listen on {_ADDRESS}:{port}: {error.strerror}") from error

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{_ADDRESS}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """What browsers on this machine may call the server."""
        return f"{_ADDRESS}:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about connections that have been closed; the session reports everything else."""


@contextmanager
def serving(session: Session, page: Callable[[str], str], port: int = 0) -> Iterator[Server]:
    """Serve in a thread of its own until the end of the block."""
    server = Server(session, page, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_LIMIT_S
    server_version, sys_version = "lab", ""
    _SAFE: ClassVar = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }

    def do_GET(self) -> None:
        """Send the page, or its updates."""
        name = self._name()
        if name == "":
            self._send_page()
        elif name == "events":
            self._send_events()
        elif name is not None:
            self._answer(404, _NO_SUCH_PAGE)

    def do_POST(self) -> None:
        """Do what the page asks for."""
        name = self._name()
        if name is None:
            return
        if self.headers.get("Origin") not in {f"http://{host}" for host in self.server.hosts}:
            self._answer(403, "The request does not come from this page.\n")
            return
        if self.headers.get("Content-Type") != "application/json":
            self._answer(415, "Expected application/json.\n")
            return
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _MOST_BODY_BYTES:
            self._answer(413, f"Expected a body of at most {_MOST_BODY_BYTES} bytes.\n")
            return
        try:
            wish = json.loads(self.rfile.read(length))
            if not isinstance(wish, dict):
                raise ValueError("no mapping")
            found = self.server.session.ask(name, wish)
        except (InputError, ValueError, RecursionError) as error:
            self._answer(400, json.dumps({"error": str(error)}), "application/json")
            return
        except RuntimeError:
            self._answer(410, json.dumps({"error": "lab watch has ended."}), "application/json")
            return
        self._answer(200, json.dumps(found), "application/json")

    def _name(self) -> str | None:
        """Return the path behind the token; None if the request was refused."""
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self._answer(421, "This server is not called so.\n")
            return None
        token, slash, name = self.path.removeprefix("/").partition("?")[0].partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._answer(404, _NO_SUCH_PAGE)
            return None
        return name

    def _send_page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._answer(200, self.server.page(nonce), "text/html", {"Content-Security-Policy": policy})

    def _send_events(self) -> None:
        """Send server-sent events until the page is closed or the session ends."""
        try:
            with self.server.session.subscribe() as updates:
                self._begin_answer(200, "text/event-stream", {"Connection": "close"})
                self.close_connection = True
                while True:
                    try:
                        update = updates.get(timeout=_HEARTBEAT_S)
                    except queue.Empty:
                        self.wfile.write(b": still here\n\n")
                        continue
                    if update is None:
                        self.wfile.write(b"event: end\ndata: {}\n\n")
                        return
                    self.wfile.write(b"data: " + json.dumps(update, separators=(",", ":")).encode() + b"\n\n")
        except InputError as error:
            self._answer(503, f"{error}\n")
        except (OSError, RuntimeError):
            self.close_connection = True  # The page is closed, or the session has ended.

    def _answer(self, status: int, text: str, kind: str = "text/plain", more: dict[str, str] | None = None) -> None:
        data = text.encode()
        # What is left of a body that was not read must not be taken for the next request.
        closing = {"Connection": "close"} if status >= 400 else {}
        self.close_connection = self.close_connection or bool(closing)
        self._begin_answer(
            status, f"{kind}; charset=utf-8", {"Content-Length": str(len(data)), **closing, **(more or {})}
        )
        if self.command != "HEAD":
            self.wfile.write(data)

    def _begin_answer(self, status: int, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **self._SAFE, **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: the token would be in it."""
