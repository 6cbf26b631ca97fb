# SPDX-License-Identifier: Apache-2.0
"""The parts of the UML engine that need no kernel: the shared folder, the build, and the protocol of the zygote."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from lab.engine.uml import build
from lab.engine.uml.arguments import ARGUMENTS
from lab.engine.uml.engine import UmlEngine
from lab.engine.uml.zygote import Child, Zygote, in_words
from lab.errors import EngineError, ImageError
from lab.job import kernels
from lab.job.folder import SharedFolder
from lab.job.mailbox import State
from tests.conftest import write_program

LIMIT_S = 10


def test_the_folder_passes_a_job_and_a_record(tmp_path: Path) -> None:
    host, guest = SharedFolder(tmp_path), SharedFolder(tmp_path)
    assert (host.state, host.virtual_ns) == (State.BLANK, 0)
    host.initialise(b"{}")
    assert guest.job == b"{}"
    guest.state = State.RUNNING
    guest.virtual_ns = 250_000_000
    assert (host.state, host.virtual_ns) == (State.RUNNING, 250_000_000)
    assert guest.write(b"first") + guest.write(b"second") == 11
    guest.state = State.DONE
    assert (host.state, host.record_file.read_bytes()) == (State.DONE, b"firstsecond")


def test_a_cleared_record_begins_anew(tmp_path: Path) -> None:
    guest = SharedFolder(tmp_path)
    guest.clear_record()
    guest.write(b"half of a record")
    guest.clear_record()
    assert not guest.record_file.exists()
    guest.write(b"a message")
    guest.state = State.FAILED
    assert guest.record_file.read_bytes() == b"a message"


@pytest.mark.parametrize("text", ["", "RUNN", "17\n"])
def test_a_file_that_is_being_written_counts_as_not_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "state").write_text(text)
    (tmp_path / "progress").write_text("")
    assert (SharedFolder(tmp_path).state, SharedFolder(tmp_path).virtual_ns) == (State.BLANK, 0)


def test_the_command_line_has_no_path_and_no_comma() -> None:
    assert not [argument for argument in ARGUMENTS if "/" in argument.replace("=/uml-init", "")]
    assert len(" ".join(ARGUMENTS)) < 2048  # COMMAND_LINE_SIZE of arch/x86


def test_every_patch_says_why_and_has_its_licence() -> None:
    patches = {path: text.decode() for path, text in build._sources() if path.endswith(".patch")}
    assert len(patches) >= 10
    for path, text in patches.items():
        title, blank, *rest = text.partition("\n---\n")[0].splitlines()
        assert title.startswith(("um: ", "net: ")), path
        assert blank == "", path
        assert len(rest) >= 4, f"{path} does not say why"
        assert rest[-1] == "SPDX-License-Identifier: GPL-2.0", path


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs with an ``mmdebstrap`` that delivers files with their own names as content."""
    script = """
for word; do
	case $word in
	--customize-hook=download\\ *) set -- ${word#*=}; basename "$2" >"$3" ;;
	--customize-hook=*build.sh*) echo "I: compiling..." ;;
	esac
done"""
    program = write_program(tmp_path / "bin" / "mmdebstrap", script)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return program


def test_a_kernel_is_built_once_and_found_again(debian: Path, tmp_path: Path) -> None:
    assert build.find_kernel("uml-7.3") is None
    steps: list[str] = []
    built = build.build_kernel("uml-7.3", steps.append)
    assert steps == ["compiling"]
    assert (built.name, built.release, built.program.read_text()) == ("uml-7.3", "release", "linux\n")
    assert os.access(built.program, os.X_OK)
    assert build.find_kernel("uml-7.3") == built
    assert build.list_kernels() == ([built], [])
    assert sorted(path.name for path in built.path.iterdir()) == [
        "config",
        "files.json",
        "info.json",
        "linux",
        "packages",
    ]
    assert build.build_kernel("uml-7.3", steps.append).digest == built.digest


def test_another_patch_is_another_kernel(debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.build_kernel("uml-7.3", lambda _step: None)
    before = list(build._sources())
    monkeypatch.setattr(build, "_sources", lambda: iter([*before, ("patches/9999.patch", b"")]))
    assert build.find_kernel("uml-7.3") is None


def test_a_patch_that_comes_during_the_build_is_not_in_the_kernel(
    debian: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(build._sources())

    def on_step(_step: str) -> None:
        monkeypatch.setattr(build, "_sources", lambda: iter([*before, ("patches/9999.patch", b"")]))

    built = build.build_kernel("uml-7.3", on_step)
    assert build.find_kernel("uml-7.3") is None
    monkeypatch.setattr(build, "_sources", lambda: iter(before))
    assert build.find_kernel("uml-7.3") == built


def test_a_build_that_fails_names_the_log(debian: Path, tmp_path: Path) -> None:
    write_program(debian, "echo 'E: the patch 0001 does not fit'; exit 1")
    with pytest.raises(ImageError, match=r"the patch 0001 does not fit \(log: .*uml-kernel-build.log\)"):
        build.build_kernel("uml-7.3", lambda _step: None)
    assert list((tmp_path / "cache" / "uml-kernels").iterdir()) == []


def test_another_architecture_is_refused(debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(ImageError, match="x86_64 only; this machine is aarch64"):
        build.build_kernel("uml-7.3", lambda _step: None)


def test_names_of_kernels() -> None:
    assert kernels.default_of("uml") in kernels.UML
    assert kernels.default_of("vm") in kernels.DEBIAN
    assert kernels.netem_takes_seeds("7.3.4")


FAKE = f"""#!{sys.executable}
import os, signal, socket, struct, subprocess, sys, time
control = socket.socket(fileno=3)
def say(kind, pid, status, fds=()):
    socket.send_fds(control, [struct.pack("=iii", kind, pid, status)], list(fds))
if os.path.exists("broken"):
    print("this kernel is broken", flush=True)
    sys.exit(1)
say(0, 0, 0)
while True:
    message, fds, _flags, _address = socket.recv_fds(control, 4, 1)
    if not message:
        break
    folder = os.readlink(f"/proc/self/fd/{{fds[0]}}")
    if folder.endswith("no-room"):
        say(2, -11, 0)
        continue
    child = subprocess.Popen(["sleep", "0.2" if folder.endswith("short") else "60"])
    say(1, child.pid, 0, [os.pidfd_open(child.pid)])
    if folder.endswith("last"):
        os._exit(0)
    say(2, child.pid, os.waitpid(child.pid, 0)[1])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("zygote", "short", "long", "no-room", "last"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def zygote(folder: Path) -> Iterator[Zygote]:
    kernel = folder / "linux"
    kernel.write_text(FAKE)
    kernel.chmod(0o755)
    started = Zygote(kernel, folder / "zygote", min(os.sched_getaffinity(0)))
    yield started
    started.close()


def test_a_child_ends_by_itself(zygote: Zygote, folder: Path) -> None:
    zygote.ready.result(LIMIT_S)
    child = zygote.fork(folder / "short", 0).result(LIMIT_S)
    assert child.ended.result(LIMIT_S) == "exit status 0"
    child.kill()


def test_a_child_is_killed(zygote: Zygote, folder: Path) -> None:
    child = zygote.fork(folder / "long", 0).result(LIMIT_S)
    child.kill()
    assert child.ended.result(LIMIT_S) == "killed by SIGKILL"


def test_the_host_cannot_fork(zygote: Zygote, folder: Path) -> None:
    with pytest.raises(EngineError, match="cannot fork User-mode Linux: Resource temporarily unavailable"):
        zygote.fork(folder / "no-room", 0).result(LIMIT_S)
    assert zygote.fork(folder / "short", 0).result(LIMIT_S).ended.result(LIMIT_S) == "exit status 0"


def test_children_end_with_their_zygote(zygote: Zygote, folder: Path) -> None:
    child = zygote.fork(folder / "last", 0).result(LIMIT_S)
    assert child.ended.result(LIMIT_S) == "killed, because the zygote had ended"
    with pytest.raises(EngineError, match="User-mode Linux has ended"):
        zygote.fork(folder / "short", 0).result(LIMIT_S)


def test_a_zygote_that_does_not_start(folder: Path) -> None:
    (folder / "zygote" / "broken").touch()
    kernel = folder / "linux"
    kernel.write_text(FAKE)
    kernel.chmod(0o755)
    broken = Zygote(kernel, folder / "zygote", 0)
    with pytest.raises(EngineError, match="its console ends with: this kernel is broken"):
        broken.ready.result(LIMIT_S)
    broken.close()


def test_statuses_in_words() -> None:
    assert (in_words(9), in_words(256)) == ("killed by SIGKILL", "exit status 1")


@pytest.mark.parametrize("steps", range(12))
def test_a_cancellation_in_the_moment_of_the_fork_is_not_lost(tmp_path: Path, steps: int) -> None:
    class Forks:
        answer: Future[Child] = Future()

        def fork(self, folder: Path, processor: int) -> Future[Child]:
            return self.answer

    class Forked(Child):
        is_killed = False

        def kill(self) -> None:
            self.is_killed = True
            self.ended.set_result("killed")

    zygote, child = Forks(), Forked(0, -1)
    engine = UmlEngine()
    engine._zygotes[kernels.DEFAULT_UML] = zygote  # type: ignore[assignment]
    job = {"kernel": kernels.DEFAULT_UML, "duration_ns": 1}

    async def cancel_soon() -> None:
        trial = asyncio.ensure_future(engine.run(job, tmp_path / "record", 0, lambda _now_ns: None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        zygote.answer.set_result(child)
        for _ in range(steps):
            await asyncio.sleep(0)
        trial.cancel()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait((trial,))
        assert trial.cancelled()

    asyncio.run(cancel_soon())
    assert child.is_killed
