# SPDX-License-Identifier: Apache-2.0
"""Start an instance of User-mode Linux that prepares itself once, and fork it for each trial.

The protocol is described in the kernel's ``arch/um/os-Linux/zygote.c``, which is part of lab's patches.  All processes
end with this one: the host's kernel kills the zygote when the process that started it ends, and each child when the
zygote ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from lab.engine.tethered import tethered
from lab.engine.uml.arguments import ARGUMENTS
from lab.errors import EngineError

_REQUEST = struct.Struct("=i")
_EVENT = struct.Struct("=iii")
_READY, _STARTED, _ENDED = range(3)
_CONTROL_FD = 3
_TAIL_LINES = 12


class Child:
    """A forked instance."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.ended: Future[str] = Future()
        """Becomes done when the instance has ended; the result says how, in words."""
        self._pidfd = pidfd
        self._lock = threading.Lock()

    def kill(self) -> None:
        """Kill the instance if it still runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, number)

    def hold(self) -> None:
        """Stop the instance until :meth:`resume` is called.  In the meantime, no virtual time passes."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the instance go on."""
        self._send(signal.SIGCONT)

    def has_ended(self, how: str) -> None:
        """Take note that the instance has ended; called by the zygote."""
        with self._lock:
            os.close(self._pidfd)
            self._pidfd = -1
        self.ended.set_result(how)


class Zygote:
    """An instance that waits for requests to fork.  Its methods may be called from any thread."""

    def __init__(self, kernel: Path, folder: Path, processor: int) -> None:
        """Start an instance of *kernel* on the host's CPU *processor*.

        *folder* must contain the files of :func:`lab.engine.uml.arguments.put_files` until the zygote is ready.

        Raises:
            EngineError: The program cannot be started.
        """
        self.ready: Future[None] = Future()
        """Becomes done when the zygote can fork; its exception is an EngineError."""
        self._lock = threading.Lock()
        self._requests: deque[Future[Child]] = deque()
        self._children: dict[int, Child] = {}
        self._is_lost = False
        # The console has no name in any file system, so nothing is left behind even if this process is killed.
        self._console: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = _spawn(kernel, folder, processor, theirs, self._console)
        except OSError as exc:
            self._control.close()
            self._console.close()
            raise EngineError(f"cannot start {kernel}: {exc.strerror}") from exc
        finally:
            theirs.close()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def fork(self, folder: Path, processor: int) -> Future[Child]:
        """Ask for a child whose current folder is *folder*, and which runs on the host's CPU *processor*.

        The exception of the returned future is an :class:`~lab.errors.EngineError` if the zygote has ended or the host
        could not create a process.
        """
        answer: Future[Child] = Future()
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with self._lock:
                if self._is_lost:
                    answer.set_exception(self._lost())
                    return answer
                socket.send_fds(self._control, [_REQUEST.pack(processor)], [fd])
                self._requests.append(answer)
        except OSError:
            answer.set_exception(self._lost())
        finally:
            os.close(fd)
        return answer

    def close(self) -> None:
        """End the zygote and all of its children."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._control.close()
        self._console.close()

    def console_tail(self) -> str:
        """Return the last lines that the zygote has printed."""
        text = os.pread(self._console.fileno(), 1 << 20, 0).decode(errors="replace")
        return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-_TAIL_LINES:]) or "nothing"

    def _listen(self) -> None:
        """Receive events until the zygote ends; runs in a thread of its own."""
        while True:
            try:
                message, fds, _flags, _address = socket.recv_fds(self._control, _EVENT.size, 1)
            except OSError:
                break
            if len(message) != _EVENT.size:
                break
            kind, pid, status = _EVENT.unpack(message)
            self._on_event(kind, pid, status, fds)
        with self._lock:
            self._is_lost = True
            waiting: list[Future[None] | Future[Child]] = [self.ready, *self._requests]
            children = list(self._children.values())
            self._requests.clear()
            self._children.clear()
        for future in waiting:
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_exception(self._lost())
        for child in children:
            child.kill()
            child.has_ended("killed, because the zygote had ended")

    def _on_event(self, kind: int, pid: int, status: int, fds: list[int]) -> None:
        with self._lock:
            if kind == _READY:
                if self.ready.set_running_or_notify_cancel():
                    self.ready.set_result(None)
            elif kind == _STARTED:
                child = self._children[pid] = Child(pid, fds[0])
                answer = self._requests.popleft()
                if answer.set_running_or_notify_cancel():
                    answer.set_result(child)
                else:
                    child.kill()
            elif pid < 0:
                answer = self._requests.popleft()
                if answer.set_running_or_notify_cancel():
                    answer.set_exception(EngineError(f"cannot fork User-mode Linux: {os.strerror(-pid)}"))
            else:
                self._children.pop(pid).has_ended(in_words(status))

    def _lost(self) -> EngineError:
        return EngineError(f"User-mode Linux has ended; its console ends with: {self.console_tail()}")


def in_words(status: int) -> str:
    """Return what a status of ``wait()`` means."""
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.WEXITSTATUS(status)}"


def _spawn(
    kernel: Path, folder: Path, processor: int, control: socket.socket, console: IO[bytes]
) -> subprocess.Popen[bytes]:
    command = ["sh", "-c", f'exec "$@" {_CONTROL_FD}<&0 </dev/null', "sh", str(kernel), *ARGUMENTS]
    return subprocess.Popen(
        # The kernel and the guest's processes take turns, and switching between them is some ten times as fast on one
        # CPU as across two.
        tethered(command, os.getpid(), processor),
        cwd=folder,
        stdin=control.fileno(),
        stdout=console,
        stderr=console,
        env={"PATH": os.defpath},
        # In its own session, the zygote gets no SIGINT when the user presses Ctrl-C: lab itself ends it.
        start_new_session=True,
    )
